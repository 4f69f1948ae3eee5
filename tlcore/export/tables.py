"""Every record as a row: what spreadsheets and statistics programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import RunRecord


def records_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row an arm and seed, with what was asked for, what came out, and where.

    Args:
        records: Records of any experiments.

    Returns:
        Plain columns; accuracies are in [0, 1], a list is text with spaces between. Curves and confusion matrices are
        in the JSON form only.
    """
    return pd.DataFrame([_row(record) for record in records])


def _row(record: RunRecord) -> dict[str, Any]:
    asked = record.experiment.model_dump(mode="json", exclude={"strategies", "seeds", "first_seed"})
    target, source, where = record.datasets["target"], record.source_model, record.environment
    return {
        "strategy": record.strategy,
        "seed": record.seed,
        "status": record.status,
        "test_accuracy": record.test_accuracy,
        "validation_accuracy": record.validation_accuracy,
        "train_accuracy": record.train_accuracy,
        "chosen": record.selection.setting,
        "chosen_value": record.selection.chosen,
        "steps_done": record.steps,
        "training_seconds": record.seconds,
        **{f"{name}_seconds": record.phase_seconds.get(name) for name in ("selection", "test")},
        "trainable_parameters": record.trainable_parameters,
        "total_parameters": record.total_parameters,
        "source_accuracy_before": record.source_accuracy_before,
        "source_accuracy_after": record.source_accuracy_after,
        **{name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in asked.items()},
        "labelled_images": record.labels.training,
        "test_images": record.labels.test,
        "labels_sha256": record.labels.sha256,
        "target_sha256": target.sha256,
        "source_model_sha256": source.sha256 if source else "",
        "tlcore": where.tlcore,
        "python": where.python,
        **{package: where.packages.get(package, "") for package in ("keras", where.backend, "numpy", "scikit-learn")},
        "device": where.device,
        "machine": where.machine,
        "number_format": where.precision,
        "arm": record.arm_hash,
        "created": record.created.isoformat(),
    }
