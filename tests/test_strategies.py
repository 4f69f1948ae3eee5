"""Every strategy on every backbone: its recipe is consistent, and the eight that ship freeze what they say."""

from __future__ import annotations

import re

import pytest

from tlcore.errors import UserError
from tlcore.experiment import fits
from tlcore.models import BACKBONES, get_backbone
from tlcore.strategies import STRATEGIES, get_strategy

PAIRS = [
    (strategy, backbone)
    for strategy in STRATEGIES
    for backbone in BACKBONES
    if fits(strategy, BACKBONES[backbone], None)
]
SMALL = frozenset({"conv1", "conv2", "dense1"})
DEEP = SMALL | {"conv3", "conv4"}
NONE: frozenset[str] = frozenset()

# strategy: (transferred, frozen) on cnn_small and on cnn_deep.
EXPECTED = {
    "scratch": {"cnn_small": (NONE, NONE), "cnn_deep": (NONE, NONE)},
    "feature_extraction": {"cnn_small": (SMALL, SMALL), "cnn_deep": (DEEP, DEEP)},
    "freeze_conv": {
        "cnn_small": (SMALL - {"dense1"}, SMALL - {"dense1"}),
        "cnn_deep": (DEEP - {"dense1"}, DEEP - {"dense1"}),
    },
    "fine_tune_last": {"cnn_small": (SMALL, SMALL - {"dense1"}), "cnn_deep": (DEEP, DEEP - {"dense1"})},
    "fine_tune_all": {"cnn_small": (SMALL, NONE), "cnn_deep": (DEEP, NONE)},
    "random_features": {"cnn_small": (NONE, SMALL), "cnn_deep": (NONE, DEEP)},
}


@pytest.mark.parametrize(("strategy", "backbone"), PAIRS)
def test_a_recipe_is_consistent(strategy: str, backbone: str) -> None:
    network = get_backbone(backbone)
    recipe = STRATEGIES[strategy].recipe(network, None)
    names = set(network.stage_names)
    assert recipe.transferred <= names
    for phase in recipe.phases:
        assert phase.policy.frozen <= names
        assert 0 < phase.share <= 1
        assert phase.rate > 0
    if recipe.phases:
        assert sum(phase.share for phase in recipe.phases) == pytest.approx(1)
        assert recipe.learner == "network"
        assert recipe.head == "new"
    else:
        assert recipe.head == "source" or recipe.learner == "pixels"
    if recipe.head == "source":
        assert recipe.transferred == names


@pytest.mark.parametrize(("strategy", "backbone"), PAIRS)
def test_kinds_say_whether_anything_is_transferred(strategy: str, backbone: str) -> None:
    recipe = STRATEGIES[strategy].recipe(get_backbone(backbone), None)
    if STRATEGIES[strategy].kind == "transfer":
        assert recipe.needs_source
    if STRATEGIES[strategy].kind == "baseline":
        assert not recipe.needs_source


@pytest.mark.parametrize("backbone", ["cnn_small", "cnn_deep"])
@pytest.mark.parametrize("strategy", EXPECTED)
def test_the_shipped_strategies_load_and_freeze_what_they_say(strategy: str, backbone: str) -> None:
    recipe = STRATEGIES[strategy].recipe(get_backbone(backbone), None)
    transferred, frozen = EXPECTED[strategy][backbone]
    assert recipe.transferred == transferred
    assert [phase.policy.frozen for phase in recipe.phases] == [frozen]


def test_direct_reuse_trains_nothing_and_keeps_the_sources_head() -> None:
    recipe = STRATEGIES["direct_reuse"].recipe(get_backbone("cnn_small"), None)
    assert recipe.transferred == SMALL
    assert recipe.phases == ()
    assert recipe.head == "source"


def test_the_pixel_baseline_has_no_network() -> None:
    recipe = STRATEGIES["pixel_baseline"].recipe(get_backbone("cnn_small"), None)
    assert recipe.learner == "pixels"
    assert not recipe.needs_source


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_cut_moves_the_frozen_part_of_fine_tune_last_and_of_nothing_else(backbone: str) -> None:
    network = get_backbone(backbone)
    for cut in range(len(network.stages) + 1):
        recipe = STRATEGIES["fine_tune_last"].recipe(network, cut)
        assert recipe.phases[0].policy.frozen == set(network.stage_names[:cut])
        assert recipe.transferred == set(network.stage_names)
        for name in STRATEGIES:
            if name != "fine_tune_last" and fits(name, network, None):
                assert STRATEGIES[name].recipe(network, cut) == STRATEGIES[name].recipe(network, None)
    whole = len(network.stages)
    assert STRATEGIES["fine_tune_last"].recipe(network, 0) == STRATEGIES["fine_tune_all"].recipe(network, None)
    assert STRATEGIES["fine_tune_last"].recipe(network, whole) == STRATEGIES["feature_extraction"].recipe(network, None)


def test_freezing_convolutions_needs_some() -> None:
    with pytest.raises(UserError, match="choose another backbone"):
        STRATEGIES["freeze_conv"].recipe(get_backbone("mlp"), None)
    assert not fits("freeze_conv", get_backbone("mlp"), None)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_can_be_shown(name: str) -> None:
    strategy = STRATEGIES[name]
    assert strategy.name == name
    assert strategy.title
    assert strategy.sentence.endswith((".", "?"))
    assert re.fullmatch(r"#[0-9A-F]{6}", strategy.colour)


def test_no_two_strategies_look_alike() -> None:
    shown = list(STRATEGIES.values())
    for values in ([s.title for s in shown], [s.colour for s in shown], [(s.colour, s.dash) for s in shown]):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("find", "name", "near"),
    [
        (get_strategy, "fine_tune_al", "fine_tune_all"),
        (get_strategy, "featur_extraction", "feature_extraction"),
        (get_backbone, "cnn_smal", "cnn_small"),
        (get_backbone, "mpl", "mlp"),
    ],
)
def test_an_unknown_name_gives_the_near_ones(find: object, name: str, near: str) -> None:
    assert callable(find)
    with pytest.raises(UserError, match=f"did you mean .*{near}") as caught:
        find(name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_name_like_nothing_gives_all_of_them() -> None:
    with pytest.raises(UserError, match="choose one of") as caught:
        get_strategy("zzzzzz")
    assert all(name in str(caught.value) for name in STRATEGIES)
