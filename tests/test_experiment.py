"""`Experiment`: one value with one JSON form, one URL form and one hash, whatever is typed into the address bar."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tlcore.data import DATASETS
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
from tlcore.strategies import STRATEGIES

# The values are small, but building a nested one draws many parts: not a sign of a slow test.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

rates = st.floats(1e-6, 1, exclude_min=True)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Any experiment that can be run."""
    source, target = draw(st.lists(st.sampled_from(sorted(DATASETS)), min_size=2, max_size=2, unique=True))
    backbone = BACKBONES[draw(st.sampled_from(sorted(BACKBONES)))]
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
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_in_the_hash(change: dict[str, Any]) -> None:
    changed = Experiment(**change)
    assert changed.content_hash() != Experiment().content_hash()
    # An arm is the same whatever else is compared and however many seeds follow.
    shared = set(change) <= {"strategies", "seeds", "first_seed"}
    assert (changed.arm_hash("scratch", 2) == Experiment().arm_hash("scratch", 2)) == shared


def test_the_hash_of_the_default_never_changes_by_itself() -> None:
    """Kept results are found by it: a change here loses them, so it has to be meant."""
    assert Experiment().content_hash() == "dadff77c7b808ec7"
    assert Experiment().arm_hash("scratch", 0) == "0480f9da871eb7c5"


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
    assert set(CONTROLS) == {"random_features", "direct_reuse", "pixel_baseline"}
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


@pytest.mark.parametrize("key", QUERY_KEYS)
@pytest.mark.parametrize("text", NASTY)
def test_a_value_that_cannot_be_used_is_announced(key: str, text: str) -> None:
    experiment, notices = Experiment.from_query({key: text})
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
    ],
    ids=lambda part: ",".join(part) if isinstance(part, dict) else "",
)
def test_a_wrong_value_gives_one_line_that_says_what_to_do(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        Experiment.of(**values)
    message = str(caught.value)
    assert says in message
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
