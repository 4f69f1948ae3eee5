"""The recipe: every step differs from the one before in what it says, and what is cached or frozen changes nothing."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.data.test_own_splits import pictures
from tlcore.cli import main
from tlcore.data import load
from tlcore.data.external import IMAGENET
from tlcore.errors import UserError
from tlcore.experiment import SourceModel
from tlcore.models import get_backbone
from tlcore.models.build import initial_weights
from tlcore.presets import RECORDS
from tlcore.pretrain import Checkpoint
from tlcore.recipe import RECIPE, STEPS, MeasuredRecipe, measure_recipe, plan_recipe
from tlcore.recorded import Number
from tlcore.views.recipe import recipe_figure, recipe_sentences, recipe_table, recipe_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = list(STEPS)


@pytest.fixture(scope="module")
def random_weights() -> Iterator[None]:
    """Random weights in place of the published ones."""
    network = get_backbone("mobilenet_v2_035")
    weights = initial_weights(network, (32, 32, 3), 10, 1)
    del weights["head"]
    info = SourceModel(
        key="random", provenance="random", sha256="", epochs=None, images=1, test_accuracy=None, seconds=None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tlcore.recipe_training.known_checkpoint", lambda _: Checkpoint(weights, info, "", ""))
        yield


@pytest.fixture(scope="module")
def measured(random_weights: None) -> MeasuredRecipe:
    """All steps with two seeds on a small task."""
    return measure_recipe(plan_recipe({"target": "uci_digits", "image_size": 32, "labels_per_class": 4, "seeds": 2}))


def test_every_step_changes_one_thing() -> None:
    """Apart from the control, which is given as many steps as the two that follow it."""
    changed = {"pooled": {"head"}, "cached": {"cached"}, "higher_rate": {"rate"}, "longer": {"further"}}
    changed |= {"unfrozen": {"unfrozen"}, "unfrozen_low": {"stage_factor"}}
    for before, after in pairwise(NAMES):
        fields = {
            field.name
            for field in dataclasses.fields(STEPS[after])
            if getattr(STEPS[before], field.name) != getattr(STEPS[after], field.name)
        }
        assert fields - {"name", "title", "sentence"} == changed[after]


def test_every_step_is_measured_with_every_seed(measured: MeasuredRecipe) -> None:
    assert [(run.step, run.seed) for run in measured.runs] == [(step, seed) for step in NAMES for seed in (0, 1)]
    assert all(run.seconds > 0 for run in measured.runs)
    assert MeasuredRecipe.from_json(measured.to_json()) == measured
    assert [measured.before(step) for step in NAMES] == [None, *NAMES[:-1]]


def test_caching_changes_nothing_but_the_seconds(measured: MeasuredRecipe) -> None:
    difference = measured.difference("cached")
    assert abs(difference.mean) < 0.5  # rounding, of two in a hundred pictures at most
    assert measured.interval("cached", "seconds").mean < measured.interval("pooled", "seconds").mean


def test_the_weights_are_counted_as_the_recipe_has_them(measured: MeasuredRecipe) -> None:
    head = 128 + 128 * 10 + 10
    assert measured.interval("as_written", "trainable").mean == 1 * 1 * 1280 * 128 + head  # 32 pixels leave one place
    assert measured.interval("longer", "trainable").mean == 1280 * 128 + head
    assert measured.interval("unfrozen", "trainable").mean > measured.interval("longer", "trainable").mean
    assert measured.interval("longer", "steps").mean == measured.interval("unfrozen_low", "steps").mean
    assert measured.interval("longer", "steps").mean == 2 * measured.interval("cached", "steps").mean


def test_flatten_sees_every_place_of_the_maps() -> None:
    from tlcore.recipe_training import _Trained

    network = get_backbone("mobilenet_v2_035")
    trained = _Trained(network, (96, 96, 3), 4, "flatten", len(network.stages) - 1, 0, 1.0)
    assert trained.first_head(0)["dense"][0].shape == (3 * 3 * 1280, 128)


@pytest.mark.parametrize("factor", [1.0, 0.01])
def test_a_lower_rate_moves_the_stage_less_and_frozen_stages_not_at_all(factor: float) -> None:
    from tlcore.recipe_training import _Trained

    network = get_backbone("mobilenet_v2_035")
    count, shape = len(network.stages), (32, 32, 3)
    weights = initial_weights(network, shape, 4, 0)
    first = count - 2
    trained = _Trained(network, shape, 4, "average", first, 1, factor)
    weights |= trained.first_head(0)
    trained.restart(weights)
    rng = np.random.default_rng(0)
    maps = rng.random((8, *trained._model.input_shape[1:]), dtype=np.float32)
    trained.fit(maps, np.arange(8) % 4, np.tile(np.arange(8), (3, 1)), 1e-3)
    after = trained.weights()
    for stage in network.stage_names[first : count - 1]:
        assert all(np.array_equal(now, old) for now, old in zip(after[stage], weights[stage], strict=True))
    last = network.stage_names[-1]
    moved = max(
        float(np.abs(now - old).max()) for now, old in zip(after[last], weights[last], strict=True) if now.ndim > 1
    )
    assert 0 < moved < 0.01 * (factor if factor < 1 else 1)


def test_on_own_pictures_every_seed_tests_on_its_own(
    random_weights: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share_datasets: Callable[[Path], Path]
) -> None:
    from tlcore.recipe_training import Kitchen

    monkeypatch.setenv("TLCORE_HOME", str(share_datasets(tmp_path)))
    experiment = plan_recipe({"target": pictures(12).name, "image_size": 32, "labels_per_class": 4, "seeds": 2})
    kitchen = Kitchen(experiment)
    for seed in experiment.seed_values:
        right = 12 * kitchen.run(STEPS["cached"], seed).test_accuracy
        assert right == pytest.approx(round(right))
        assert kitchen._test(seed).labels.tolist() == load(experiment.target).y_train[kitchen._test(seed).rows].tolist()
    assert kitchen._test(0).rows.tolist() != kitchen._test(1).rows.tolist()
    assert kitchen.overlap == 12 / 24


def test_intervals_of_draws_from_the_same_pictures_are_wider(measured: MeasuredRecipe) -> None:
    drawn = measured.model_copy(update={"overlap": 0.5})
    plain, wider = measured.interval("as_written"), drawn.interval("as_written")
    assert wider.mean == plain.mean
    assert wider.high > plain.high
    assert drawn.interval("as_written", "seconds") == measured.interval("as_written", "seconds")


def test_it_is_for_networks_with_published_weights() -> None:
    assert plan_recipe({}).source == IMAGENET
    assert plan_recipe({"backbone": "resnet50"}).image_size is None
    with pytest.raises(UserError, match="cnn_small"):
        plan_recipe({"backbone": "cnn_small"})
    assert main(["recipe", "--backbone", "resnet5"]) == 2


def test_steps_and_numbers_that_are_not_there_are_named(measured: MeasuredRecipe) -> None:
    with pytest.raises(UserError, match="as_written"):
        measured.interval("distilled")
    with pytest.raises(UserError, match="first step"):
        measured.difference("as_written")


def test_the_views_say_what_was_measured(measured: MeasuredRecipe) -> None:
    rows = recipe_table(measured)
    assert len(rows) == len(NAMES)
    assert rows["Verdict"].tolist()[0] == ""
    assert rows["Verdict"].tolist()[3] == recipe_verdict(measured.difference("higher_rate"))
    assert list(recipe_figure(measured).data[0].x) == [measured.interval(step).mean for step in NAMES]
    assert len(recipe_sentences(measured)) == len(NAMES)


@pytest.mark.skipif(not RECIPE.is_file(), reason="not recorded yet: run python -m tlcore recipe --json")
def test_the_recorded_recipe_is_whole_and_its_numbers_are_read() -> None:
    recorded = MeasuredRecipe.read(RECIPE)
    assert recorded.experiment == plan_recipe({})
    assert [step.name for step in recorded.steps] == NAMES
    assert len(recorded.runs) == len(NAMES) * recorded.experiment.seeds
    number = Number(record=RECIPE.stem, strategy="higher_rate", value="difference")
    assert number.read() == recorded.difference("higher_rate")
    against = Number(record=RECIPE.stem, strategy="higher_rate", value="difference", against="as_written")
    assert against.read() == recorded.difference("higher_rate", "as_written")
    assert Number(record=RECIPE.stem, strategy="cached", value="seconds").read().mean > 0
    with pytest.raises(UserError, match="holds no"):
        Number(record=RECIPE.stem, strategy="cached", value="forgotten").read()


def test_the_record_is_where_the_others_are() -> None:
    assert Path(RECORDS) == RECIPE.parent
