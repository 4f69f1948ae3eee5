"""Every strategy on every backbone: its recipe is consistent, and each loads, freezes and trains what it says."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tlcore.errors import UserError
from tlcore.experiment import fits
from tlcore.models import BACKBONES, get_backbone
from tlcore.models.build import weight_shapes
from tlcore.policy import FreezePolicy, OneCycle, Recipe
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
    "discriminative_lr": {"cnn_small": (SMALL, NONE), "cnn_deep": (DEEP, NONE)},
    "l2_sp": {"cnn_small": (SMALL, NONE), "cnn_deep": (DEEP, NONE)},
    "lora": {"cnn_small": (SMALL, NONE), "cnn_deep": (DEEP, NONE)},
    "mean_var_init": {"cnn_small": (NONE, NONE), "cnn_deep": (NONE, NONE)},
    "copy_frozen": {
        "cnn_small": (frozenset({"conv1"}), frozenset({"conv1"})),
        "cnn_deep": (frozenset({"conv1", "conv2"}), frozenset({"conv1", "conv2"})),
    },
    "copy_fine_tuned": {
        "cnn_small": (frozenset({"conv1"}), NONE),
        "cnn_deep": (frozenset({"conv1", "conv2"}), NONE),
    },
    "random_copy_frozen": {
        "cnn_small": (NONE, frozenset({"conv1"})),
        "cnn_deep": (NONE, frozenset({"conv1", "conv2"})),
    },
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
    assert recipe.matched <= names - recipe.transferred
    for phase in recipe.phases:
        # What is trained instead of the backbone has stages of its own.
        held = set(get_backbone(network.student).stage_names) if recipe.small else names
        assert phase.policy.frozen <= held
        assert {stage for stage, _ in phase.stage_rates} <= held - phase.policy.fixed
        assert all(0 < rate <= 1 for _, rate in phase.stage_rates)
        assert 0 < phase.share <= 1
        assert 0 < phase.rate <= 1
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
    if recipe.low_rank or recipe.pull or recipe.distillation:
        assert STRATEGIES[strategy].kind == "transfer"


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


WITH_A_CUT = ("fine_tune_last", "copy_frozen", "copy_fine_tuned", "self_copy_frozen", "self_copy_fine_tuned")
WITH_A_CUT += ("random_copy_frozen",)
WITH_A_TURN = ("lp_ft", "fastai_fine_tune", "head_continued", "no_recompile")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_cut_moves_what_is_copied_or_frozen_and_nothing_else(backbone: str) -> None:
    network = get_backbone(backbone)
    recipes = {name: STRATEGIES[name] for name in STRATEGIES if fits(name, network, None)}
    for cut in range(len(network.stages) + 1):
        first = set(network.stage_names[:cut])
        cuts = {name: strategy.recipe(network, cut) for name, strategy in recipes.items()}
        assert cuts["fine_tune_last"].phases[0].policy.frozen == first
        assert cuts["fine_tune_last"].transferred == set(network.stage_names)
        for name in ("copy_frozen", "copy_fine_tuned", "self_copy_frozen", "self_copy_fine_tuned"):
            assert cuts[name].transferred == first
            assert cuts[name].phases[0].policy.frozen == (first if name.endswith("frozen") else NONE)
        assert cuts["random_copy_frozen"].transferred == NONE
        assert cuts["random_copy_frozen"].phases[0].policy.frozen == first
        for name, strategy in recipes.items():
            if name not in WITH_A_CUT:
                assert cuts[name] == strategy.recipe(network, None), name
    whole = len(network.stages)
    assert recipes["fine_tune_last"].recipe(network, 0) == recipes["fine_tune_all"].recipe(network, None)
    assert recipes["fine_tune_last"].recipe(network, whole) == recipes["feature_extraction"].recipe(network, None)
    for name in ("copy_frozen", "copy_fine_tuned", "random_copy_frozen"):
        assert recipes[name].recipe(network, 0) == recipes["scratch"].recipe(network, None)
    assert recipes["copy_frozen"].recipe(network, whole) == recipes["feature_extraction"].recipe(network, None)
    assert recipes["copy_fine_tuned"].recipe(network, whole) == recipes["fine_tune_all"].recipe(network, None)
    assert recipes["random_copy_frozen"].recipe(network, whole) == recipes["random_features"].recipe(network, None)


def test_nothing_to_copy_from_a_network_of_ones_own_trains_none() -> None:
    """A cut before the first stage takes nothing, so that training another network would be for nothing."""
    for name in ("self_copy_frozen", "self_copy_fine_tuned"):
        recipe = STRATEGIES[name].recipe(get_backbone("cnn_small"), 0)
        assert recipe == STRATEGIES["scratch"].recipe(get_backbone("cnn_small"), None)


def test_the_time_of_unfreezing_moves_the_phases_of_those_that_have_two() -> None:
    network = get_backbone("cnn_deep")
    for name, strategy in STRATEGIES.items():
        if not fits(name, network, None):
            continue
        usual, other = strategy.recipe(network), strategy.recipe(network, unfreeze_at=0.3)
        if name in WITH_A_TURN:
            assert [phase.share for phase in other.phases] == pytest.approx([0.3, 0.7])
            assert [phase.policy for phase in other.phases] == [phase.policy for phase in usual.phases]
        else:
            assert other == usual


# --- what each one is -------------------------------------------------------------------------------------------------


def recipe_of(strategy: str, backbone: str = "cnn_deep") -> Recipe:
    return STRATEGIES[strategy].recipe(get_backbone(backbone))


def test_probing_comes_before_fine_tuning_at_a_tenth_of_the_rate() -> None:
    probe, tune = recipe_of("lp_ft").phases
    assert (probe.policy.frozen, tune.policy.frozen) == (DEEP, NONE)
    assert (probe.share, tune.share) == (0.5, 0.5)
    assert (probe.rate, tune.rate) == (1.0, 0.1)


def test_the_control_of_probing_differs_from_it_in_nothing_but_what_is_unfrozen() -> None:
    control, tuned = recipe_of("head_continued"), recipe_of("lp_ft")
    assert control.phases[0] == tuned.phases[0]
    assert control.phases[1] == replace(tuned.phases[1], policy=tuned.phases[0].policy)
    assert replace(control, phases=tuned.phases) == tuned


def test_without_compiling_again_the_first_phase_is_all_there_is() -> None:
    """The plan is that of probing and fine-tuning; what is carried out is feature extraction."""
    forgotten = recipe_of("no_recompile")
    assert replace(forgotten, stale=False) == recipe_of("lp_ft")
    assert forgotten.compiled == recipe_of("feature_extraction").phases
    assert all(forgotten.mode(stage) == "frozen" for stage in DEEP)
    for name in STRATEGIES:
        if name not in ("no_recompile", "frozen_drift"):
            assert recipe_of(name).compiled == recipe_of(name).phases


def test_wrong_preprocessing_is_feature_extraction_in_the_range_that_the_network_did_not_learn_from() -> None:
    for backbone, scale in (("cnn_deep", 255), ("mini_resnet_bn", 255), ("mobilenet_v2_035", 1 / 255)):
        wrong = recipe_of("wrong_preprocessing", backbone)
        assert wrong.input_scale == pytest.approx(scale)
        assert replace(wrong, input_scale=1.0) == recipe_of("feature_extraction", backbone)


def test_gradual_unfreezing_thaws_one_stage_more_in_every_phase() -> None:
    phases = recipe_of("gradual_unfreeze").phases
    names = get_backbone("cnn_deep").stage_names
    assert [phase.policy.frozen for phase in phases] == [frozenset(names[:count]) for count in range(5, -1, -1)]
    assert len({phase.share for phase in phases}) == 1


def test_lower_stages_learn_at_lower_rates() -> None:
    (phase,) = recipe_of("discriminative_lr").phases
    assert phase.stage_rates == tuple(
        (name, pytest.approx(2.6 ** (index - 5))) for index, name in enumerate(get_backbone("cnn_deep").stage_names)
    )


def test_fastais_recipe_is_the_published_one() -> None:
    """`fine_tune(4, base_lr, freeze_epochs=1, lr_mult=100, pct_start=.3, div=5)`, whose frozen epoch rises for 99 %."""
    frozen, thawed = recipe_of("fastai_fine_tune").phases
    assert frozen.policy == FreezePolicy(DEEP, "always")
    assert thawed.policy == FreezePolicy()
    assert (frozen.share, thawed.share) == pytest.approx((0.2, 0.8))
    assert (frozen.rate, thawed.rate) == (1.0, 0.5)
    assert (frozen.cycle, thawed.cycle) == (OneCycle(rise=0.99), OneCycle(rise=0.3, start=5.0))
    # `slice(base / 100, base)`: multiplied by as much from group to group, from the input to the head.
    rates = [rate for _, rate in thawed.stage_rates] + [1.0]
    assert rates[0] == pytest.approx(1 / 100)
    assert [after / before for before, after in pairwise(rates)] == pytest.approx([100 ** (1 / 5)] * 5)


def test_the_rest_are_fine_tuning_but_for_one_thing() -> None:
    plain, scratch = recipe_of("fine_tune_all"), recipe_of("scratch")
    assert replace(recipe_of("l2_sp"), pull=None) == plain
    assert replace(recipe_of("lora"), low_rank=0) == plain
    assert replace(recipe_of("mean_var_init"), matched=NONE) == scratch
    assert recipe_of("mean_var_init").matched == DEEP
    assert replace(recipe_of("self_copy_frozen"), own=None) == recipe_of("copy_frozen")
    assert replace(recipe_of("self_copy_fine_tuned"), own=None) == recipe_of("copy_fine_tuned")
    assert recipe_of("self_copy_frozen").own == scratch
    assert replace(recipe_of("small_scratch"), small=False) == scratch
    assert replace(recipe_of("distillation"), distillation=None) == recipe_of("small_scratch")
    taught = recipe_of("distillation").distillation
    assert taught is not None
    assert taught.teacher == plain
    drifting = recipe_of("frozen_drift", "mini_resnet_bn")
    (phase,) = drifting.phases
    still = replace(phase, policy=replace(phase.policy, normalization="train"))
    assert replace(drifting, phases=(still,)) == recipe_of("feature_extraction", "mini_resnet_bn")


@pytest.mark.parametrize("backbone", [name for name, network in BACKBONES.items() if network.student])
def test_a_student_has_at_most_half_of_the_weights(backbone: str) -> None:
    student = BACKBONES[BACKBONES[backbone].student]
    assert student.family == "small"
    sizes = [
        sum(math.prod(shape) for shapes in weight_shapes(network, (28, 28, 1), 10).values() for shape in shapes)
        for network in (student, BACKBONES[backbone])
    ]
    assert 2 * sizes[0] <= sizes[1]


@pytest.mark.parametrize(
    ("strategy", "backbone", "says"),
    [
        ("frozen_drift", "cnn_small", "batch normalisation"),
        ("frozen_drift", "mini_resnet", "batch normalisation"),
        ("distillation", "mlp", "no smaller network"),
        ("small_scratch", "mlp", "no smaller network"),
        ("freeze_conv", "mini_resnet", "feature_extraction"),
        ("direct_reuse", "resnet50", "output layer"),
    ],
)
def test_what_a_backbone_cannot_do_is_refused_in_one_line(strategy: str, backbone: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        STRATEGIES[strategy].recipe(get_backbone(backbone))
    assert len(str(caught.value).splitlines()) == 1
    assert not fits(strategy, get_backbone(backbone), None)


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


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_line_is_seen_on_a_dark_page(name: str) -> None:
    theme = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    page = _luminance(theme["theme"]["dark"]["backgroundColor"])
    assert (_luminance(STRATEGIES[name].colour) + 0.05) / (page + 0.05) >= 3  # WCAG 1.4.11


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
