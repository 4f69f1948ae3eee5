"""Beyond one class a picture: segmentation, localisation and verification on the same frozen backbones.

Importing this loads no Keras; `tlcore.beyond.measure` does.
"""
