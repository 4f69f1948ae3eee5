"""Some classes of a dataset as a task of its own, chosen by name, and how far two such tasks lie apart."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcore.data import kept
from tlcore.data.adapt import check_no_overlap
from tlcore.data.distance import pixel_distance
from tlcore.data.external import SOURCES, TARGETS
from tlcore.data.registry import (
    CHOOSABLE,
    CIFAR100_CLASSES,
    DATASETS,
    find_dataset,
    get_dataset,
    load,
    shared_classes,
    some_classes_name,
)
from tlcore.data.sources import _FACTS
from tlcore.errors import UserError
from tlcore.experiment import Experiment


@given(st.sampled_from(sorted(CHOOSABLE)), st.data())
def test_a_choice_is_found_under_its_name(whole: str, data: st.DataObject) -> None:
    classes = data.draw(st.lists(st.sampled_from(DATASETS[whole].classes), min_size=2, max_size=9, unique=True))
    name = some_classes_name(whole, classes)
    found = find_dataset(name)
    assert found is not None
    assert found.name == name
    assert set(found.classes) == set(classes)
    assert found.part_of == whole
    assert name in SOURCES
    assert name in TARGETS
    assert name not in list(TARGETS)
    other = "uci_digits"
    experiment = Experiment(source=name, target=other)
    assert Experiment.from_query(experiment.to_query()) == (experiment, ())


def test_cifar100s_classes() -> None:
    assert len(CIFAR100_CLASSES) == len(set(CIFAR100_CLASSES)) == len(_FACTS["cifar100"].train) == 100
    assert list(CIFAR100_CLASSES) == sorted(CIFAR100_CLASSES)
    name = some_classes_name("cifar100", ["pickup truck", "bus"])
    assert name == "cifar100-bus-pickup_truck"
    assert get_dataset(name).classes == ("bus", "pickup truck")


@pytest.mark.parametrize(
    "name",
    ["cifar10-", "cifar10-cat", "cifar10-cat-cat", "cifar10-cat-unicorn", "uci_digits-0-1", "-", "cifar10-cat-dog-"],
)
def test_no_choice_is_guessed(name: str) -> None:
    assert find_dataset(name) is None
    with pytest.raises(UserError, match="unknown dataset"):
        get_dataset(name)


def test_the_order_of_a_choice_is_the_datasets() -> None:
    with pytest.raises(UserError, match="it is called cifar10-bird-cat"):
        get_dataset("cifar10-cat-bird")
    with pytest.raises(UserError, match="choose 2 to 9 classes"):
        some_classes_name("cifar10", ["cat"])
    with pytest.raises(UserError, match="has no class unicorn"):
        some_classes_name("cifar10", ["cat", "unicorn"])


def test_tasks_that_share_a_class_are_no_pair() -> None:
    assert shared_classes("cifar10-cat-dog", "cifar10_animals") == ("cat", "dog")
    assert shared_classes("cifar10_animals", "cifar10_vehicles") == ()
    assert shared_classes("cifar10-cat-dog", "cifar100-bus-train") == ()
    with pytest.raises(UserError, match="both have dog"):
        Experiment.of(source="cifar10-cat-dog", target="cifar10-dog-frog")
    corrected, notices = Experiment.from_query({"src": "cifar10-cat-dog", "tgt": "cifar10-dog-frog"})
    assert corrected.target == "cifar10-dog-frog"
    assert "share classes" in notices[0]
    corrected, notices = Experiment.from_query({"tgt": "mnist-0-1"})  # shares classes with the usual source
    assert (corrected.source, corrected.target) == ("fashion_mnist", "mnist-0-1")
    assert "share classes" in notices[0]


@pytest.mark.real_data
def test_a_chosen_pair_shares_no_picture_and_its_distance_is_measured() -> None:
    near = "cifar10-automobile-ship", "cifar10-airplane-truck"
    far = "cifar10-cat-dog", "cifar10-automobile-truck"
    assert check_no_overlap(*near) == "no image in both, by hash"
    dataset = load(near[0])
    assert np.bincount(dataset.y_train).tolist() == [5000, 5000]
    alike, apart = pixel_distance(*near, seeds=3), pixel_distance(*far, seeds=3)
    assert alike.images == 400
    assert alike.interval.high is not None
    assert apart.interval.low is not None
    assert alike.interval.high < apart.interval.low
    with pytest.raises(UserError, match="share cat"):
        pixel_distance("cifar10-cat-dog", "cifar10-bird-cat")


def test_the_command_needs_no_keras_and_speaks_json() -> None:
    code = (
        "import sys; from tlcore.cli import commands\n"
        "try: commands(['similarity', 'drawn_digits', 'uci_digits', '--as-json'])\n"
        "finally: assert 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    found = json.loads(done.stdout)
    assert 0 <= found["mean"] <= 2
    assert done.stderr == ""


def test_only_the_newest_choices_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    monkeypatch.setattr(kept, "MOST_CHOICES", 2)
    one = np.zeros((1, 1, 1, 1), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    four = (*one, *one)
    for at, name in enumerate(("mnist", "mnist-0-1", "mnist-0-2", "mnist-0-3")):
        kept.keep(name, f"{at:016x}", kept.Kept(four, "", kept.hash_of(four)))
    found = [kept.find(name, f"{at:016x}") is not None for at, name in enumerate(("mnist", "mnist-0-1", "mnist-0-2"))]
    assert found == [True, False, True]
