"""The comparison: every arm once, in order, the same over several processes; differences paired by seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore import Comparison, Event, Experiment, RunRecord, Stopped, UserError, paired_comparisons
from tlcore.engine import needs_preparation, prepare
from tlcore.metrics.stats import paired_interval, verdict
from tlcore.runner import compare
from tlcore.strategies import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Experiment(
    source="mnist",
    target="uci_digits",
    strategies=("scratch", "feature_extraction", "direct_reuse", "pixel_baseline"),
    labels_per_class=4,
    seeds=2,
    first_seed=3,
    steps=25,
    learning_rate=1e-3,
    precision="float32",
)


@cache
def small() -> tuple[Comparison, tuple[Event, ...]]:
    """`SMALL` in this process, run once."""
    events: list[Event] = []
    return compare(SMALL, events.append), tuple(events)


@pytest.mark.parametrize(
    "lines",
    [
        "from tlcore import compare",
        "import tlcore; compare = tlcore.compare",
        "import tlcore.runner; from tlcore import compare",
    ],
)
def test_the_public_name_is_the_function(lines: str, root: Path) -> None:
    """A submodule of the same name takes the function's place in the package as soon as it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"{lines}\nassert callable(compare), compare"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr


def test_every_arm_is_run_once_in_the_experiments_order() -> None:
    comparison, events = small()
    assert comparison.experiment == SMALL
    expected = [(strategy, seed) for strategy in SMALL.strategies for seed in (3, 4)]
    assert [(record.strategy, record.seed) for record in comparison.records] == expected
    finished = [(event.strategy, event.seed) for event in events if event.kind == "arm_finished"]
    assert tuple(finished) == SMALL.arms  # seed by seed, so that the first comparison is complete early
    assert events[0].kind == "pretrain"


def test_a_comparison_comes_back_from_its_json(tmp_path: Path) -> None:
    comparison, _ = small()
    text = comparison.to_json()
    assert Comparison.from_json(text) == comparison
    assert Comparison.from_json(text).to_json() == text
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    assert Comparison.read(tmp_path / "c.json") == comparison
    assert set(json.loads(text)) == {"experiment", "records", "comparisons"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"records": 3, "experiment": {}}', "\x00"])
def test_what_is_no_comparison_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match="not a comparison") as caught:
        Comparison.from_json(text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        Comparison.read(tmp_path / "none.json")
    with pytest.raises(UserError):
        Comparison.read(tmp_path)
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
    with pytest.raises(UserError):
        Comparison.read(tmp_path / "binary.json")


def test_tables_and_figures_follow_from_the_comparison() -> None:
    comparison, _ = small()
    assert len(comparison.table()) == len(SMALL.strategies)
    assert comparison.figure().data


def test_what_on_event_raises_reaches_the_caller() -> None:
    def fail(event: Event) -> None:
        if event.kind == "arm_started":
            raise LookupError("the page is gone")

    with pytest.raises(LookupError, match="the page is gone"):
        compare(SMALL, fail)


def test_a_comparison_stops_when_asked() -> None:
    done: list[Event] = []
    with pytest.raises(Stopped):
        compare(SMALL, done.append, lambda: any(event.kind == "arm_finished" for event in done))


def test_what_is_here_needs_no_preparation() -> None:
    assert not needs_preparation(SMALL)
    baselines = SMALL.model_copy(update={"backbone": "mlp", "strategies": ("scratch", "pixel_baseline")})
    assert not needs_preparation(baselines)
    assert needs_preparation(baselines.model_copy(update={"strategies": ("fine_tune_all",)}))
    # Fewer source images are another source model, and that one does not ship.
    assert needs_preparation(SMALL.model_copy(update={"source_images": 500}))
    assert needs_preparation(SMALL.model_copy(update={"source_images": 500, "strategies": ("mean_var_init",)}))
    assert not needs_preparation(SMALL.model_copy(update={"source_images": 500, "strategies": ("self_copy_frozen",)}))
    prepare(baselines)


def test_published_weights_need_no_preparation() -> None:
    """They are loaded or they are not there: nothing is trained for them."""
    published = Experiment(source="imagenet", backbone="resnet50", target="uci_digits", precision="float32")
    assert not needs_preparation(published)


# The work is in a script: processes are started from a file's own ``__main__``.
SCRIPT = """
import sys
from tlcore import Experiment
from tlcore.runner import compare

class Gone(Exception):
    pass

def fail(event):
    if event.kind == "arm_started":
        raise Gone

def main():
    experiment = Experiment.model_validate_json(sys.argv[1])
    events = []
    comparison = compare(experiment, events.append, processes=2)
    print(comparison.to_json())
    print("---")
    print(sorted((event.strategy, event.seed) for event in events if event.kind == "arm_finished"))
    try:
        compare(experiment, fail, processes=2)
    except Gone:
        print("gone")

if __name__ == "__main__":
    main()
"""


def test_several_processes_measure_the_same(tmp_path: Path, root: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), SMALL.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    text, _, rest = done.stdout.partition("---\n")
    parallel, alone = Comparison.from_json(text), small()[0]
    assert [(r.strategy, r.seed) for r in parallel.records] == [(r.strategy, r.seed) for r in alone.records]
    for one, other in zip(parallel.records, alone.records, strict=True):
        # Threads change the order of sums, so a picture on the edge may fall on the other side.
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=0.01), one.strategy
        assert one.labels == other.labels
    finished, gone = rest.splitlines()
    assert finished == str(sorted(SMALL.arms))
    assert gone == "gone"


# --- paired by seed ---------------------------------------------------------------------------------------------------


def made_up(strategy: str, seed: int, test_accuracy: float) -> RunRecord:
    """A record with one number in it; the rest is a real record's."""
    template = small()[0].records[0]
    return template.model_copy(
        update={
            "strategy": strategy,
            "seed": seed,
            "test_accuracy": test_accuracy,
            "created": datetime(2026, 1, 1, tzinfo=UTC),
        }
    )


grid = st.dictionaries(
    st.tuples(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 6)), st.floats(0, 1), min_size=1, max_size=30
)


@settings(deadline=None)
@given(grid, st.randoms())
def test_differences_are_paired_by_seed(accuracies: dict[tuple[str, int], float], random: object) -> None:
    arms = list(accuracies)
    random.shuffle(arms)  # pyright: ignore[reportAttributeAccessIssue] - hypothesis's Random
    records = [made_up(strategy, seed, accuracies[strategy, seed]) for strategy, seed in arms]
    strategies = list(dict.fromkeys(strategy for strategy, _ in arms))
    baseline = "scratch" if "scratch" in strategies else strategies[0]
    found = {item.strategy: item for item in paired_comparisons(records)}
    for strategy in strategies:
        shared = sorted(
            {seed for name, seed in arms if name == strategy} & {seed for name, seed in arms if name == baseline}
        )
        if strategy == baseline or not shared:
            assert strategy not in found
            continue
        expected = paired_interval(
            [accuracies[strategy, seed] for seed in shared], [accuracies[baseline, seed] for seed in shared]
        )
        item = found.pop(strategy)
        assert (item.baseline, item.n) == (baseline, len(shared))
        assert (item.mean_difference, item.ci_low, item.ci_high) == (expected.mean, expected.low, expected.high)
        assert item.verdict == verdict(expected)
    assert not found


def test_another_baseline_can_be_asked_for() -> None:
    records = [
        made_up(name, seed, 0.5 + 0.1 * (name == "scratch")) for name in ("scratch", "fine_tune_all") for seed in (0, 1)
    ]
    (item,) = paired_comparisons(records, baseline="fine_tune_all")
    assert (item.strategy, item.baseline, item.verdict) == ("scratch", "fine_tune_all", "helps")
    assert paired_comparisons(records, baseline="direct_reuse") == ()
    assert paired_comparisons([]) == ()
