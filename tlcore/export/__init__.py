"""What leaves the project: a comparison's arm as a script of plain Keras."""
