"""Finished arms kept as files, found again by hash: an interrupted comparison goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

import tlcore
from tlcore.data import own
from tlcore.errors import UserError
from tlcore.experiment import Experiment, RunRecord
from tlcore.home import home
from tlcore.models.registry import get_backbone

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A folder of records, one file an arm.

    A record is found for the same arm by the same version of this package on the same machine with the same arithmetic:
    what else could have changed the numbers is in the name.

    Args:
        folder: Where they are; `home`'s own folder unless given.
    """

    folder: Path = field(default_factory=lambda: home() / "arms")

    def find(self, experiment: Experiment, strategy: str, seed: int) -> RunRecord | None:
        """Find a finished arm.

        Args:
            experiment: What is asked for; the record found says so too, whatever it was first run for.
            strategy: The arm's strategy.
            seed: The arm's seed.

        Returns:
            Its record, or None if there is none, its file is damaged, or the target's images or the source model have
            changed since.
        """
        try:
            record = RunRecord.model_validate_json(self._path(experiment, strategy, seed).read_bytes())
        except (OSError, ValidationError):
            return None  # not there, or half written by a process that was killed: train it again
        from tlcore.data import load
        from tlcore.data.labels import tested

        if record.datasets["target"].sha256 != tested(load(experiment.target), seed).sha256:
            return None
        if record.source_model is not None:
            from tlcore.pretrain import known_checkpoint

            source = known_checkpoint(experiment)
            if source is None or source.info.sha256 != record.source_model.sha256:
                return None
        return record.model_copy(update={"experiment": experiment})

    def keep(self, record: RunRecord) -> None:
        """Keep a finished arm.

        Args:
            record: Its record.

        Raises:
            UserError: If it cannot be written.
        """
        path = self._path(record.experiment, record.strategy, record.seed)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(record.model_dump_json(), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise UserError(
                f"cannot write {path} ({error.strerror}): make room on the disk or set TLCORE_HOME"
            ) from None

    def _path(self, experiment: Experiment, strategy: str, seed: int) -> Path:
        from tlcore import backend  # loads Keras, which a process that only reads records may not

        family = get_backbone(experiment.backbone).family
        where = backend.environment(backend.resolve_precision(experiment.precision, family))
        said = f"{tlcore.__version__} {where.packages} {where.machine} {where.device} {where.precision}"
        host = hashlib.sha256(said.encode()).hexdigest()[:8]
        return self.folder / f"{experiment.arm_hash(strategy, seed)}{own.mark(experiment.target)}-{host}.json"
