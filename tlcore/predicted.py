"""What an arm says of a new picture, for pages, which may not load Keras: asked in a process of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from tlcore.apart import alone, run_apart
from tlcore.results import Comparison
from tlcore.saved import Saved

if TYPE_CHECKING:
    from tlcore.experiment import RunRecord

NEIGHBOURS = 5
LONGEST = 120  # seconds


class Neighbour(BaseModel):
    """A picture that the arm learned from.

    Args:
        row: Its row among the target's training images.
        label: Its label.
        similarity: Cosine of the two pictures' features, in [-1, 1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    label: int
    similarity: float


class Prediction(Saved):
    """What an arm says of a picture.

    Args:
        classes: What each output stands for.
        probabilities: One a class; they sum to 1.
        neighbours: The nearest pictures that it learned from, the nearest first.
    """

    kind: ClassVar[str] = "a prediction"
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]


def predict_apart(record: RunRecord, picture: bytes) -> Prediction:
    """Ask an arm about a picture, by ``python -m tlcore predict`` in a process that ends with it.

    Args:
        record: The arm's record.
        picture: A picture file as it was uploaded.

    Returns:
        What the arm says.

    Raises:
        UserError: If the file is no picture, the weights are not kept on this machine, or it took too long.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.json").write_text(Comparison(record.experiment, (record,)).to_json(), encoding="utf-8")
        (folder / "picture").write_bytes(picture)
        command = ["predict", "run.json", "picture", "--strategy", record.strategy, "--json", "said.json"]
        with alone():
            run_apart(command, LONGEST, "the picture could not be judged", folder)
        return Prediction.read(folder / "said.json")
