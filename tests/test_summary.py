"""Several tasks at once: only what all tasks have, differences paired by seed, refusals that say what to do."""

from __future__ import annotations

import pytest

from tests.views import samples
from tlcore.errors import UserError
from tlcore.experiment import Experiment
from tlcore.summary import Summary, summarise

TARGETS = ("fashion_mnist", "uci_digits", "drawn_garments")


def records(gain: float = 0.1, steps: int = 300) -> list[samples.RunRecord]:
    """Three tasks of three seeds in which fine-tuning gains as given."""
    return [
        samples.record(experiment, strategy, seed, 0.5 + 0.1 * place + 0.01 * seed + gain * (strategy != "scratch"))
        for place, target in enumerate(TARGETS)
        for experiment in (Experiment(target=target, strategies=("scratch", "fine_tune_all"), steps=steps),)
        for strategy, seed in experiment.arms
    ]


def test_gains_are_paired_and_summed_up() -> None:
    found = summarise(records())
    scratch, tuned = found.rows
    assert len(found.tasks) == 3
    assert (scratch.strategy, scratch.difference, scratch.improvement) == ("scratch", None, None)
    assert tuned.difference is not None
    assert tuned.improvement is not None
    assert tuned.difference.mean == pytest.approx(0.1)
    assert tuned.difference.low == pytest.approx(0.1)  # by seed the gain is the same throughout
    assert tuned.improvement.mean == 1
    assert tuned.accuracy.mean - scratch.accuracy.mean == pytest.approx(0.1)
    assert Summary.from_json(found.to_json()) == found
    assert summarise(records()) == found


def test_a_strategy_that_one_task_lacks_is_left_out() -> None:
    extra = Experiment(target="uci_digits", strategies=("lp_ft",))
    more = [*records(), *(samples.record(extra, "lp_ft", seed) for seed in (0, 1, 2))]
    assert [row.strategy for row in summarise(more).rows] == ["scratch", "fine_tune_all"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([r for r in records() if r.experiment.target != "uci_digits"], "too few"),
        ([r for r in records() if r.strategy != "scratch"], "scratch"),
        ([r for r in records() if r.seed == 0], "seeds"),
        ([*records(), *records(steps=100)], "two settings"),
    ],
    ids=["two tasks", "no baseline", "one seed", "two settings"],
)
def test_what_cannot_be_summed_up_is_refused(given: list[samples.RunRecord], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        summarise(given)
