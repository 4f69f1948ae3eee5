"""Splits of a learner's own pictures: drawn anew by every seed, whole groups together, and a comparison on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcore import inside
from tlcore.archive import Archive
from tlcore.arm import run_arm
from tlcore.data import get_dataset, load, own
from tlcore.data.adapt import adapt
from tlcore.data.labels import draw_test, split_labels
from tlcore.data.own.kept import SIDE, Writer
from tlcore.data.registry import Dataset
from tlcore.errors import UserError
from tlcore.experiment import Experiment, RunRecord
from tlcore.metrics.stats import mean_interval
from tlcore.results import paired_comparisons
from tlcore.runner import compare
from tlcore.views.inside import confusion_cell

if TYPE_CHECKING:
    from collections.abc import Callable

GONE = own.PREFIX + "0123456789ab"


def pictures(per_class: int, classes: tuple[int, ...] = (0, 1, 8)) -> own.OwnSet:
    """Drawn garments, enlarged, as somebody's own pictures; the first two of each class are near copies."""
    drawn = load("drawn_garments")
    rows = np.concatenate([np.flatnonzero(drawn.y_train == label)[:per_class] for label in classes])
    groups = np.arange(len(rows))
    groups[np.arange(len(classes)) * per_class + 1] -= 1
    with Writer("me", len(rows)) as writer:
        for picture in adapt(drawn.x_train[rows], (SIDE, SIDE, 3)):
            writer.add(picture)
        names = [drawn.spec.classes[label] for label in classes]
        return writer.finish("Clothes", names, np.repeat(np.arange(len(classes)), per_class), groups)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_datasets: Callable[[Path], Path]) -> Path:
    """A home of its own: what is deleted here is nobody else's."""
    monkeypatch.setenv("TLCORE_HOME", str(share_datasets(tmp_path)))
    load.cache_clear()
    return tmp_path


@st.composite
def grouped(draw: st.DrawFn) -> Dataset:
    """A small dataset in memory with groups of any kind, classes across groups included."""
    classes = draw(st.integers(2, 4))
    labels = np.concatenate([np.full(draw(st.integers(5, 15)), label) for label in range(classes)])
    groups = np.array(draw(st.lists(st.integers(0, len(labels)), min_size=len(labels), max_size=len(labels))))
    spec = get_dataset(GONE)
    object.__setattr__(spec, "classes", tuple("abcd"[:classes]))
    object.__setattr__(spec, "smallest_class", int(np.bincount(labels).min()))
    images = np.zeros((len(labels), 1, 1, 3), dtype=np.uint8)
    return Dataset(spec, images, labels, images[:0], labels[:0], "", "0" * 64, groups)


@settings(max_examples=200, deadline=None)
@given(grouped(), st.integers(0, 3))
def test_no_group_is_on_both_sides(dataset: Dataset, seed: int) -> None:
    assert dataset.groups is not None
    test = draw_test(dataset, seed)
    assert set(dataset.y_train[test]) == set(range(len(dataset.spec.classes)))
    rest = np.setdiff1d(np.arange(len(dataset.y_train)), test)
    assert not set(dataset.groups[test]) & set(dataset.groups[rest])
    try:
        split = split_labels(dataset, 2, 1, seed, test)
    except UserError:  # a class of one large group leaves nothing to learn from
        return
    parts = [*split.labelled.tolist(), *split.observation.tolist(), *test.tolist()]
    assert len(parts) == len(set(parts))
    assert not set(dataset.groups[split.observation]) & set(dataset.groups[split.labelled])


def test_a_split_is_the_seeds_own_and_stratified() -> None:
    dataset = load(pictures(20).name)
    first, again, other = draw_test(dataset, 0), draw_test(dataset, 0), draw_test(dataset, 1)
    assert first.tolist() == again.tolist() != other.tolist()
    assert np.bincount(dataset.y_train[first]).tolist() == [6, 6, 6]
    few, many = (split_labels(dataset, count, 1, 0, first).labelled for count in (4, 8))
    assert set(few) <= set(many)
    assert dataset.spec.labels_per_class_limit == 20 - 6 - 4


def test_five_pictures_a_class_are_enough() -> None:
    spec = get_dataset(pictures(5).name)
    assert spec.labels_per_class_limit == 2


def test_a_comparison_on_own_pictures(home: Path) -> None:
    found = pictures(12)
    experiment = Experiment(
        source="cifar10_cars",
        target=found.name,
        strategies=("scratch", "feature_extraction", "pixel_baseline"),
        labels_per_class=6,
        seeds=2,
        steps=30,
        learning_rate=0.003,
        precision="float32",
    )
    result = compare(experiment, archive=Archive())
    labels = {record.labels.sha256 for record in result.records}
    assert len(labels) == 2, "each seed draws its own images, alike in every arm"
    assert len({record.datasets["target"].sha256 for record in result.records}) == 2
    for record in result.records:
        assert record.labels.test == 12
        assert record.labels.pool == 36
        assert sum(map(sum, record.confusion)) == 12
        assert record.datasets["target"].classes == found.classes
    # Of a comparison the first seed is kept from inside; one that begins with the second seed keeps that.
    second = experiment.model_copy(update={"first_seed": 1, "seeds": 1, "strategies": ("pixel_baseline",)})
    for record in (result.records[0], *compare(second).records):
        check_cells(record)
    paired = paired_comparisons(result.records)[0]
    by_seed = {(record.strategy, record.seed): record.test_accuracy for record in result.records}
    apart = [by_seed["feature_extraction", seed] - by_seed["scratch", seed] for seed in (0, 1)]
    assert paired.ci_low == pytest.approx(mean_interval(apart, overlap=12 / 24).low)
    assert {path.parent.name for path in home.glob(f"*/*{found.name}*")} == {"arm_weights", "arms", "inside"}
    own.delete(found.id, "me")
    assert not list(home.glob(f"*/*{found.name}*"))


def check_cells(record: RunRecord) -> None:
    """The cells of the confusion matrix hold the very pictures that the record's seed was tested on."""
    seen = inside.find_of(record)
    assert seen is not None
    shown = inside.find_pictures(seen)
    assert shown is not None
    dataset = load(record.experiment.target)
    test = draw_test(dataset, record.seed)
    wanted = adapt(dataset.x_train[test], shown.images.shape[1:])
    classes = len(dataset.spec.classes)
    opened: list[bytes] = []
    for true in range(classes):
        for answer in range(classes):
            rows = confusion_cell(seen, true, answer, classes)
            assert len(rows) == record.confusion[true][answer]
            of_class = {picture.tobytes() for picture in wanted[dataset.y_train[test] == true]}
            opened += [picture.tobytes() for picture in shown.images[rows]]
            assert set(opened[len(opened) - len(rows) :]) <= of_class
    assert sorted(opened) == sorted(picture.tobytes() for picture in wanted)


def test_what_was_run_can_be_read_after_the_pictures_are_gone() -> None:
    found = pictures(8)
    experiment = Experiment(source="cifar10_cars", target=found.name, labels_per_class=4)
    text = experiment.model_dump_json()
    own.delete(found.id, "me")
    assert Experiment.model_validate_json(text) == experiment
    assert Experiment.from_query(experiment.to_query())[0].target == found.name
    load.cache_clear()
    with pytest.raises(UserError, match="deleted or are on another machine"):
        load(found.name)


def test_a_finished_arm_is_found_again(tmp_path: Path) -> None:
    mine = pictures(12)
    experiment = Experiment.of(
        source="mnist", target=mine.name, strategies=("scratch", "pixel_baseline"), labels_per_class=3, seeds=2
    )
    kept = Archive(tmp_path / "arms")
    for seed in (0, 1):
        kept.keep(run_arm(experiment, "pixel_baseline", seed))
    found = [kept.find(experiment, "pixel_baseline", seed) for seed in (0, 1)]
    assert [record.seed for record in found if record] == [0, 1]


def test_own_pictures_are_no_source_and_are_never_listed() -> None:
    from tlcore.data.external import SOURCES, TARGETS

    assert own.is_name(GONE)
    assert GONE in TARGETS
    assert GONE not in list(SOURCES)
    assert "own_../../etc" not in TARGETS
    with pytest.raises(UserError, match="target only"):
        Experiment.of(source=GONE, target="uci_digits")
    corrected, notices = Experiment.from_query({"src": GONE, "tgt": "mnist"})
    assert corrected.source == "fashion_mnist"
    assert "target only" in notices[0]


def test_repeated_splits_widen_the_interval() -> None:
    """Nadeau and Bengio's correction, by hand: t(4) = 2.776, s = .0158, √(1/5 + .3/.7)."""
    values = [0.80, 0.82, 0.81, 0.84, 0.81]
    plain, corrected = mean_interval(values), mean_interval(values, overlap=0.3 / 0.7)
    assert corrected.mean == plain.mean
    assert corrected.high == pytest.approx(0.816 + 2.7764451 * np.std(values, ddof=1) * np.sqrt(0.2 + 0.3 / 0.7))
    with pytest.raises(ValueError, match="overlap"):
        mean_interval(values, overlap=-1)
