"""Beyond classification: the scenes, the measures, and that the frozen stages stay frozen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.data.test_own_splits import pictures
from tlcore.beyond.measure import box_overlap, mask_overlap, measure
from tlcore.beyond.results import ARM_STRATEGIES, ARM_TITLES, TASKS, Beyond
from tlcore.beyond.scenes import SIDE, draw_scenes, read_box, read_mask, written
from tlcore.cli import commands
from tlcore.data import load
from tlcore.errors import UserError
from tlcore.metrics.stats import mean_interval
from tlcore.presets import RECORDS
from tlcore.strategies import STRATEGIES
from tlcore.views.beyond import beyond_figure, beyond_sentences, beyond_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)), hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1))
)
def test_overlap_of_boxes_is_that_of_their_pixels(one: np.ndarray, other: np.ndarray) -> None:
    grid = 20
    boxes = [np.round(box * grid) for box in (one, other)]
    filled = np.zeros((2, 3, grid, grid), dtype=bool)
    for side, box in enumerate(boxes):
        for at, (left, top, right, low) in enumerate(box.astype(int)):
            filled[side, at, top:low, left:right] = True
    some = filled.any(axis=(0, 2, 3))
    by_pixels = mask_overlap(*filled)
    assert box_overlap(*(box / grid for box in boxes))[some] == pytest.approx(by_pixels[some])
    assert (by_pixels[~some] == 1).all()


def test_a_scene_holds_one_digit_and_its_box() -> None:
    scenes, again, tested = draw_scenes(20, 3), draw_scenes(20, 3), draw_scenes(20, 3, test=True)
    assert scenes.images.shape == (20, SIDE, SIDE, 1)
    assert (scenes.images == again.images).all()
    assert (scenes.images != tested.images).any()
    for mask, box in zip(scenes.masks, scenes.boxes, strict=True):
        left, top, right, low = np.round(box * SIDE).astype(int)
        assert mask[top:low, left:right].sum() == mask.sum() > 20
        assert read_mask(written(mask)).tolist() == mask.tolist()
        assert read_box(written(box)) == pytest.approx(tuple(box), abs=1e-4)
    # No brightness tells the digit from the strokes: else there would be nothing to learn.
    grey = scenes.images[..., 0]
    best = max(float(mask_overlap(grey > level, scenes.masks).mean()) for level in range(40, 250, 10))
    assert best < 0.6


def test_the_arms_have_the_colours_of_their_strategies() -> None:
    assert set(ARM_TITLES) == set(ARM_STRATEGIES)
    assert set(ARM_STRATEGIES.values()) <= set(STRATEGIES)


def test_verification_trains_nothing_and_repeats() -> None:
    one, again = (measure("verification", seeds=(0,), target="uci_digits", source="fashion_mnist") for _ in range(2))
    assert [score.score for score in one.scores] == [score.score for score in again.scores]
    assert all(score.trained == 0 and 0.5 < score.score <= 1 for score in one.scores)
    assert Beyond.from_json(one.to_json()) == one


def test_own_pictures_are_verified_on_each_seeds_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_datasets: Callable[[Path], Path]
) -> None:
    monkeypatch.setenv("TLCORE_HOME", str(share_datasets(tmp_path)))
    found = measure("verification", seeds=(0, 1), target=pictures(12).name)
    assert found.overlap == 12 / 24
    assert len({score.score for score in found.scores if score.arm == "pixels"}) == 2
    assert all(0 < score.score <= 1 for score in found.scores)
    apart = mean_interval(list(found.of("pixels").values()))
    assert found.interval("pixels").high > apart.high
    dataset = load(pictures(6).name)
    few = replace(dataset, groups=dataset.y_train)  # near copies, all of a class
    monkeypatch.setattr("tlcore.beyond.measure.load", lambda _: few)
    with pytest.raises(UserError, match="add more pictures of each class"):
        measure("verification", seeds=(0,), target=dataset.spec.name)


@pytest.mark.parametrize("task", ["segmentation", "localisation"])
def test_a_head_learns_to_find_the_digit(task: str) -> None:
    told: list[str] = []
    found = measure(task, seeds=(0,), labelled=20, steps=60, on_arm=lambda one: told.append(one.arm))
    assert told == list(TASKS[task].arms)
    frozen, random, scratch = found.scores
    assert frozen.score > found.floor + 0.1
    assert frozen.trained == random.trained < scratch.trained
    assert len(frozen.examples) == 6
    assert len(beyond_table(found)) == 3
    assert len(beyond_figure(found).data) == 6
    assert "one seed" in beyond_sentences(found)[0]


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(UserError, match="compare once with source uci_digits"):
        measure("segmentation", source="uci_digits")
    with pytest.raises(UserError, match="there is no mlp"):
        measure("segmentation", backbone="mlp")


@pytest.mark.parametrize("task", TASKS)
def test_the_record_is_of_the_task_and_its_words_follow(task: str) -> None:
    found = Beyond.read(RECORDS / f"beyond_{task}.json")
    assert found.task == task
    assert len(found.of("frozen")) >= 3
    assert {score.arm for score in found.scores} == set(TASKS[task].arms)
    assert all(sentence.endswith((".",)) for sentence in beyond_sentences(found))
    assert found.interval("frozen").mean > found.floor


def test_the_command_writes_what_it_measured(tmp_path, capfd) -> None:
    path = tmp_path / "found.json"
    arguments = ["verification", "--seeds", "2", "--json", str(path)]
    commands(["beyond", *arguments], standalone_mode=False)
    assert "Frozen backbone against" in capfd.readouterr().out
    assert json.loads(path.read_text())["task"] == "verification"
