"""Datasets: the registry, the loaders, the label budgets."""

from tlcore.data.registry import DATASETS, Dataset, DatasetSpec, get_dataset, load

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "get_dataset", "load"]
