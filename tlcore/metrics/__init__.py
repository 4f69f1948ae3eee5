"""Statistics of measured results: NumPy, SciPy and scikit-learn only, no Keras.

`stats` has means with intervals and the verdict that follows from them; `aggregate` several tasks at once; `curves`
what transfer buys, from learning curves and records; `ranking` what it may buy, guessed without training; `similarity`
how alike two networks are, and how far training moved one.
"""

from tlcore.metrics.stats import Interval, mean_interval, paired_interval, verdict

__all__ = ["Interval", "mean_interval", "paired_interval", "verdict"]
