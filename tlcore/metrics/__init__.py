"""Statistics of measured results: NumPy and SciPy only, no Keras."""

from tlcore.metrics.stats import Interval, mean_interval, paired_interval, verdict

__all__ = ["Interval", "mean_interval", "paired_interval", "verdict"]
