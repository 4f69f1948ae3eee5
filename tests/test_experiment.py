"""`Experiment`: one value with one JSON form, one URL form and one hash, whatever is typed into the address bar."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tlcore.data import DATASETS
from tlcore.data.external import HOST_MODEL, IMAGENET, SOURCES, TARGETS
from tlcore.data.registry import shared_classes
from tlcore.errors import UserError
from tlcore.experiment import (
    CONTROLS,
    DEFAULT_GRID,
    MAX_STEPS,
    QUERY_KEYS,
    URL_VERSION,
    Experiment,
    field_range,
    fits,
)
from tlcore.models import BACKBONES
from tlcore.policy import Phase, Recipe
from tlcore.strategies import STRATEGIES

# The values are small, but building a nested one draws many parts: not a sign of a slow test.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

rates = st.floats(1e-6, 1, exclude_min=True)


SMALL = sorted(name for name, network in BACKBONES.items() if network.family == "small")
PUBLISHED = sorted(set(BACKBONES) - set(SMALL))
file_names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Any experiment that can be run."""
    target = draw(st.sampled_from(sorted(TARGETS)))
    apart = {name for name in SOURCES if name not in (target, HOST_MODEL) and not shared_classes(name, target)}
    source = draw(st.sampled_from(sorted(apart)))
    external = source == IMAGENET
    backbone = BACKBONES[draw(st.sampled_from(PUBLISHED if external else SMALL))]
    cut = draw(st.none() | st.integers(0, len(backbone.stages)))
    fitting = [name for name in STRATEGIES if fits(name, backbone, cut)]
    return Experiment(
        source=source,
        target=target,
        backbone=backbone.name,
        strategies=tuple(draw(st.lists(st.sampled_from(fitting), min_size=1, unique=True))),
        labels_per_class=draw(st.integers(2, DATASETS[target].labels_per_class_limit)),
        seeds=draw(st.integers(1, 30)),
        first_seed=draw(st.integers(0, 1_000_000)),
        steps=draw(st.integers(1, MAX_STEPS)),
        seconds=draw(st.none() | st.floats(0, 3600, exclude_min=True)),
        batch_size=draw(st.integers(1, 512)),
        learning_rate=draw(st.none() | rates),
        learning_rates=tuple(sorted(draw(st.lists(rates, min_size=1, max_size=8, unique=True)))),
        augmentation=draw(st.sampled_from(["none", "shift", "shift_flip"])),
        precision=draw(st.sampled_from(["auto", "float32", "mixed_bfloat16"])),
        cut=cut,
        unfreeze_at=draw(st.none() | st.floats(0.05, 0.95)),
        normalization=draw(st.sampled_from(["auto", "train", "freeze", "recalibrate"])),
        source_images=None if external else draw(st.none() | st.integers(10, 60_000)),
        image_size=draw(st.none() | st.integers(max(32, backbone.min_size), 320)) if external else None,
        weights=draw(st.none() | file_names.filter(lambda name: name != "auto")) if external else None,
    )


# --- round trips ------------------------------------------------------------------------------------------------------


@relaxed
@given(experiments())
def test_json_gives_the_same_experiment_back(experiment: Experiment) -> None:
    again = Experiment.model_validate_json(experiment.model_dump_json())
    assert again == experiment
    assert again.content_hash() == experiment.content_hash()


@relaxed
@given(experiments())
def test_a_link_gives_the_same_experiment_back_and_no_notice(experiment: Experiment) -> None:
    assert Experiment.from_query(experiment.to_query()) == (experiment, ())


def test_a_link_holds_every_field_once() -> None:
    assert set(QUERY_KEYS.values()) == set(Experiment.model_fields)
    assert len(set(QUERY_KEYS.values())) == len(QUERY_KEYS)
    assert "v" not in QUERY_KEYS
    assert set(Experiment().to_query()) == {"v", *QUERY_KEYS}


def test_an_empty_link_is_the_default_experiment() -> None:
    assert Experiment.from_query({}) == (Experiment(), ())


def test_every_field_says_what_it_is() -> None:
    for name, info in Experiment.model_fields.items():
        assert info.description, name


# --- hashes -----------------------------------------------------------------------------------------------------------


@relaxed
@given(experiments(), experiments())
def test_hashes_are_equal_exactly_if_experiments_are(one: Experiment, other: Experiment) -> None:
    assert (one.content_hash() == other.content_hash()) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "drawn_digits"},
        {"target": "uci_digits"},
        {"backbone": "mlp"},
        {"strategies": ("scratch",)},
        {"strategies": ("fine_tune_all", "scratch")},
        {"labels_per_class": 21},
        {"seeds": 4},
        {"first_seed": 1},
        {"steps": 301},
        {"seconds": 5.0},
        {"batch_size": 31},
        {"learning_rate": 0.001},
        {"learning_rates": (0.001,)},
        {"augmentation": "shift"},
        {"precision": "float32"},
        {"cut": 1},
        {"unfreeze_at": 0.3},
        {"normalization": "freeze"},
        {"source_images": 100},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_in_the_hash(change: dict[str, Any]) -> None:
    changed = Experiment(**change)
    assert changed.content_hash() != Experiment().content_hash()
    # An arm is the same whatever else is compared and however many seeds follow.
    shared = set(change) <= {"strategies", "seeds", "first_seed"}
    assert (changed.arm_hash("scratch", 2) == Experiment().arm_hash("scratch", 2)) == shared


@pytest.mark.parametrize("change", [{"image_size": 64}, {"weights": "mine.h5"}], ids=lambda change: next(iter(change)))
def test_every_field_of_published_networks_is_in_the_hash(change: dict[str, Any]) -> None:
    plain = Experiment(source=IMAGENET, backbone="mobilenet_v2_035")
    changed = plain.model_copy(update=change)
    assert changed.content_hash() != plain.content_hash()
    assert changed.arm_hash("scratch", 2) != plain.arm_hash("scratch", 2)


def test_the_hash_of_the_default_never_changes_by_itself() -> None:
    """Kept results are found by it: a change here loses them, so it has to be meant."""
    assert Experiment().content_hash() == "78ceef1a684ef423"
    assert Experiment().arm_hash("scratch", 0) == "0c0d22ad3b20cac6"


@relaxed
@given(experiments(), st.sampled_from(sorted(STRATEGIES)), st.integers(0, 99))
def test_an_arm_does_not_depend_on_its_company(experiment: Experiment, strategy: str, seed: int) -> None:
    alone = experiment.model_copy(update={"strategies": ("scratch",), "seeds": 1, "first_seed": seed})
    assert alone.arm_hash(strategy, seed) == experiment.arm_hash(strategy, seed)
    assert experiment.arm_hash(strategy, seed) != experiment.arm_hash(strategy, seed + 1)


def test_arms_come_seed_by_seed() -> None:
    experiment = Experiment(strategies=("scratch", "pixel_baseline"), seeds=2, first_seed=7)
    assert experiment.seed_values == (7, 8)
    assert experiment.arms == (("scratch", 7), ("pixel_baseline", 7), ("scratch", 8), ("pixel_baseline", 8))


@relaxed
@given(experiments())
def test_validation_always_leaves_something_to_train_on(experiment: Experiment) -> None:
    assert 1 <= experiment.validation_per_class < experiment.labels_per_class


def test_the_default_strategies_and_controls_are_disjoint() -> None:
    assert {"random_features", "direct_reuse", "pixel_baseline", "head_continued"} <= set(CONTROLS)
    assert not set(CONTROLS) & set(Experiment().strategies)


# --- hostile links ----------------------------------------------------------------------------------------------------

NASTY = [
    "",
    " ",
    "auto",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "2.5",
    "1_0",
    "0x10",
    "true",
    "None",
    "null",
    "١",
    "99999999999999999999999",
    "\x00",
    "%00",
    "<script>alert(1)</script>",
    "scratch,scratch",
    "scratch,bogus",
    "bogus",
    ",",
    ",,scratch",
    "1e-3,1e-4",
    "nan,nan",
    "1e-3,",
    "0.1,0.1",
    ",".join(["0.5"] * 50),
    "../../etc/passwd",
    "mnist",
    "fashion_mnist",
    "mlp",
    "freeze_conv",
    "20",
    "3",
    "1e-3",
    "50.5",
    "100.5",
    "0.5",
    "imagenet",
    "resnet50",
    "lora,frozen_drift,freeze_conv",
    "recalibrate",
    "mine.weights.h5",
    "-rf",
]
hostile_text = st.sampled_from(NASTY) | st.text(max_size=30) | st.floats().map(repr) | st.integers().map(str)


def numbers(text: str) -> list[float] | None:
    """What a comma-separated text means as numbers, or None."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def means(text: str, shown: str) -> bool:
    """Whether a link's text says what the experiment ended up with."""
    return text == shown or (numbers(text) is not None and numbers(text) == numbers(shown))


@relaxed
@given(st.dictionaries(st.sampled_from([*QUERY_KEYS, "v", "utm_source", ""]), hostile_text))
def test_no_link_is_refused_and_what_it_gives_is_valid(query: dict[str, str]) -> None:
    experiment, notices = Experiment.from_query(query)
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment
    assert all(notice and "\n" not in notice for notice in notices)
    shown = experiment.to_query()
    changed = [key for key in QUERY_KEYS if key in query and not means(query[key], shown[key])]
    if changed:
        assert notices, f"{changed} of {query} were changed without a word"


@pytest.mark.parametrize("others", [{}, {"src": IMAGENET, "net": "resnet50"}], ids=["small", "published"])
@pytest.mark.parametrize("key", QUERY_KEYS)
@pytest.mark.parametrize("text", NASTY)
def test_a_value_that_cannot_be_used_is_announced(key: str, text: str, others: dict[str, str]) -> None:
    experiment, notices = Experiment.from_query(others | {key: text})
    shown = experiment.to_query()[key]
    assert notices or means(text, shown), f"{text!r} became {shown!r} without a word"


def test_a_notice_about_strategies_says_what_was_set() -> None:
    """None of them exists, so none was kept: the default ones were set, and the notice may not say otherwise."""
    experiment, notices = Experiment.from_query({"arms": "bogus"})
    assert experiment.strategies == Experiment().strategies
    assert len(notices) == 1
    assert "kept" not in notices[0]


def test_foreign_keys_are_left_alone() -> None:
    assert Experiment.from_query({"utm_source": "x", "run": "abc"}) == (Experiment(), ())


def test_another_version_is_announced() -> None:
    experiment, notices = Experiment.from_query({"v": "99", "n": "12"})
    assert experiment.labels_per_class == 12
    assert len(notices) == 1
    assert "version 99" in notices[0]
    assert Experiment.from_query({"v": URL_VERSION})[1] == ()


BOUNDED = ("labels_per_class", "seeds", "first_seed", "steps", "batch_size", "cut", "learning_rate", "seconds")
BOUNDED += ("unfreeze_at", "source_images")
KEYS = {field: key for key, field in QUERY_KEYS.items()}


@pytest.mark.parametrize("field", BOUNDED)
def test_too_large_a_number_becomes_the_largest_with_a_notice(field: str) -> None:
    _, high = field_range(field)
    experiment, notices = Experiment.from_query({KEYS[field]: str(high * 10 + 1)})
    expected = min(high, len(BACKBONES["cnn_small"].stages)) if field == "cut" else high
    assert getattr(experiment, field) == expected
    assert notices
    assert "nearest possible value" in notices[0]


@pytest.mark.parametrize("field", BOUNDED)
def test_too_small_a_number_becomes_the_smallest_or_automatic_with_a_notice(field: str) -> None:
    low, _ = field_range(field)
    experiment, notices = Experiment.from_query({KEYS[field]: str(low - 1)})
    # Rates and seconds have no smallest value, only a limit that is not allowed itself.
    assert getattr(experiment, field) == (None if field in ("learning_rate", "seconds") else low)
    assert len(notices) == 1


@pytest.mark.parametrize(("text", "size"), [("20", 32), ("999", 320), ("100.5", 100)])
def test_a_picture_size_that_cannot_be_used_becomes_the_nearest(text: str, size: int) -> None:
    experiment, notices = Experiment.from_query({"src": IMAGENET, "net": "resnet50", "px": text})
    assert experiment.image_size == size
    assert len(notices) == 1


def test_a_number_of_pictures_is_a_whole_number() -> None:
    experiment, notices = Experiment.from_query({"srcn": "50.5"})
    assert experiment.source_images == 50
    assert len(notices) == 1
    assert " 50," in notices[0]


def test_field_range_is_for_numbers() -> None:
    assert field_range("steps") == (1, MAX_STEPS)
    with pytest.raises(KeyError):
        field_range("augmentation")


def test_values_that_only_fail_together_are_settled_with_a_notice_each() -> None:
    same, notices = Experiment.from_query({"src": "uci_digits", "tgt": "uci_digits"})
    assert same.source != same.target == "uci_digits"
    assert len(notices) == 1

    many, notices = Experiment.from_query({"tgt": "uci_digits", "n": "4000"})
    assert many.labels_per_class == DATASETS["uci_digits"].labels_per_class_limit
    assert len(notices) == 1
    assert "uci_digits" in notices[0]

    deep, notices = Experiment.from_query({"net": "mlp", "cut": "3"})
    assert deep.cut == 2
    assert len(notices) == 1

    unfit, notices = Experiment.from_query({"net": "mlp", "arms": "scratch,freeze_conv"})
    assert unfit.strategies == ("scratch",)
    assert len(notices) == 1
    assert "freeze_conv" in notices[0]


@pytest.mark.parametrize(
    ("query", "settled", "says"),
    [
        ({"src": IMAGENET}, {"source": "mnist", "backbone": "cnn_small"}, "no ImageNet weights of cnn_small"),
        ({"src": IMAGENET, "tgt": "mnist"}, {"source": "fashion_mnist"}, "no ImageNet weights"),
        ({"net": "resnet50"}, {"source": IMAGENET}, "starts from ImageNet weights"),
        ({"px": "96"}, {"image_size": None}, "does not go with this source"),
        ({"w": "mine.h5"}, {"weights": None}, "does not go with this source"),
        ({"src": IMAGENET, "net": "resnet50", "srcn": "50"}, {"source_images": None}, "does not go with this source"),
        ({"src": IMAGENET, "net": "inception_v3", "px": "40"}, {"image_size": 75}, "75 pixels or more"),
        ({"src": IMAGENET, "net": "resnet50", "cut": "20"}, {"cut": 5}, "5 stages"),
    ],
    ids=lambda part: "" if isinstance(part, str) else ",".join(part),
)
def test_a_source_and_a_network_that_do_not_go_together_are_settled(
    query: dict[str, str], settled: dict[str, Any], says: str
) -> None:
    experiment, notices = Experiment.from_query(query)
    assert {name: getattr(experiment, name) for name in settled} == settled
    assert len(notices) == 1
    assert says in notices[0]


def test_a_strategy_that_reads_statistics_is_left_out_where_there_are_none() -> None:
    experiment, notices = Experiment.from_query({"arms": "scratch,frozen_drift"})
    assert experiment.strategies == ("scratch",)
    assert "frozen_drift" in notices[0]
    assert Experiment.from_query({"net": "mini_resnet_bn", "arms": "scratch,frozen_drift"})[1] == ()


# --- what the choices do to a recipe ----------------------------------------------------------------------------------


def test_an_experiments_recipe_has_its_cut_and_its_time_of_unfreezing() -> None:
    experiment = Experiment(backbone="cnn_deep", strategies=("lp_ft", "copy_frozen"), cut=1, unfreeze_at=0.25)
    assert [phase.share for phase in experiment.recipe("lp_ft").phases] == [0.25, 0.75]
    assert experiment.recipe("copy_frozen").transferred == {"conv1"}


def all_phases(recipe: Recipe) -> list[Phase]:
    """A recipe's phases and those of what it trains before."""
    found = list(recipe.phases)
    if recipe.own is not None:
        found += all_phases(recipe.own)
    if recipe.distillation is not None:
        found += all_phases(recipe.distillation.teacher)
    return found


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if fits(name, BACKBONES["mini_resnet_bn"], None)])
def test_what_normalisation_does_is_the_same_in_every_network_that_an_arm_trains(strategy: str) -> None:
    """Those that a strategy trains first, its teacher or its own copy, included; only what is about it differs."""
    plain = Experiment(backbone="mini_resnet_bn", strategies=(strategy,))
    held = plain.model_copy(update={"normalization": "freeze"}).recipe(strategy)
    for before, after in zip(all_phases(plain.recipe(strategy)), all_phases(held), strict=True):
        kept = before.policy.normalization
        assert after.policy.normalization == ("freeze" if kept == "train" else kept)
        assert after.policy.frozen == before.policy.frozen
    assert plain.model_copy(update={"normalization": "train"}).recipe(strategy) == plain.recipe(strategy)
    anew = plain.model_copy(update={"normalization": "recalibrate"}).recipe(strategy)
    assert anew.recalibrate == bool(anew.phases)
    if anew.own is not None:
        assert anew.own.recalibrate
    if anew.distillation is not None:
        assert anew.distillation.teacher.recalibrate


def test_the_input_has_the_sources_shape_and_imagenets_networks_have_their_own() -> None:
    assert Experiment(source="mnist").shape == (28, 28, 1)
    published = Experiment(source=IMAGENET, backbone="resnet50")
    assert published.shape == (96, 96, 3)
    assert published.model_copy(update={"image_size": 224}).shape == (224, 224, 3)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"source": "mnits"}, "did you mean mnist"),
        ({"target": "nothing like it"}, "choose one of"),
        ({"backbone": "cnn_smal"}, "did you mean cnn_small"),
        ({"strategies": ("scrach",)}, "did you mean scratch"),
        ({"strategies": ()}, "at least one strategy"),
        ({"strategies": ("scratch", "scratch")}, "twice"),
        ({"labels_per_class": 0}, "at least 2"),
        ({"labels_per_class": "many"}, "whole number"),
        ({"labels_per_class": 5001}, "at most 5000"),
        ({"target": "uci_digits", "labels_per_class": 500}, "at most 93 labels a class"),
        ({"seeds": 0}, "at least 1"),
        ({"first_seed": -1}, "at least 0"),
        ({"steps": 0}, "at least 1"),
        ({"seconds": 0}, "more than 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"learning_rate": 0}, "more than 0"),
        ({"learning_rate": float("nan")}, "learning rate"),
        ({"learning_rates": ()}, "1 to 8"),
        ({"learning_rates": (0.1, 0.01)}, "ascending"),
        ({"learning_rates": (0.1, "x")}, "number"),
        ({"augmentation": "twist"}, "shift_flip"),
        ({"precision": "float8"}, "float32"),
        ({"cut": 4}, "0 to 3"),
        ({"source": "fashion_mnist"}, "two different datasets"),
        ({"backbone": "mlp", "strategies": ("freeze_conv",)}, "another backbone"),
        ({"learning_rat": 0.1}, "no such setting"),
        ({"unfreeze_at": 0.01}, "at least 0.05"),
        ({"unfreeze_at": 1}, "at most 0.95"),
        ({"normalization": "batch"}, "recalibrate"),
        ({"source_images": 5}, "at least 10"),
        ({"source": IMAGENET}, "one of the networks that have"),
        ({"backbone": "resnet50"}, f"source {IMAGENET}"),
        ({"target": IMAGENET}, "choose one of"),
        ({"source": "imagenett"}, "did you mean imagenet"),
        ({"image_size": 64}, "belong to source imagenet"),
        ({"weights": "mine.h5"}, "belong to source imagenet"),
        ({"source": IMAGENET, "backbone": "resnet50", "weights": "../mine.h5"}, "weights"),
        ({"source": IMAGENET, "backbone": "resnet50", "source_images": 50}, "trained elsewhere"),
        ({"source": IMAGENET, "backbone": "xception", "image_size": 64}, "71 pixels or more"),
        ({"source": IMAGENET, "backbone": "resnet50", "image_size": 16}, "at least 32"),
        ({"strategies": ("frozen_drift",)}, "another backbone|mini_resnet_bn"),
        ({"backbone": "mlp", "strategies": ("distillation",)}, "another backbone"),
    ],
    ids=lambda part: ",".join(part) if isinstance(part, dict) else "",
)
def test_a_wrong_value_gives_one_line_that_says_what_to_do(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        Experiment.of(**values)
    message = str(caught.value)
    assert any(part in message for part in says.split("|"))
    assert len(message.splitlines()) == 1
    assert "pydantic" not in message
    assert "Value error" not in message


@relaxed
@given(
    st.sampled_from(sorted(Experiment.model_fields)),
    st.none() | st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.lists(st.text(), max_size=3),
)
def test_no_value_gives_more_than_one_line(field: str, value: object) -> None:
    try:
        Experiment.of(**{field: value})
    except UserError as error:
        assert len(str(error).splitlines()) == 1, repr(str(error))  # noqa: PT017 - most values are refused, some are fine


def test_experiments_are_values() -> None:
    experiment = Experiment()
    with pytest.raises(ValueError, match="frozen"):
        experiment.steps = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(experiment) == hash(Experiment())
    assert experiment.learning_rates == DEFAULT_GRID
