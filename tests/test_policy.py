"""Recipes as values: what they promise whatever strategy made them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcore.policy import Distillation, FreezePolicy, OneCycle, Phase, Pull, Recipe

ALL = frozenset({"conv1", "conv2"})
NETWORK = Recipe(transferred=ALL, phases=(Phase(FreezePolicy()),))


def test_a_policy_says_what_a_stage_is() -> None:
    policy = FreezePolicy(frozen=frozenset({"conv1"}))
    assert policy.mode("conv1") == "frozen"
    assert policy.mode("conv2") == "trained"
    assert FreezePolicy().mode("conv1") == "trained"


@pytest.mark.parametrize(
    ("normalization", "fixed"), [("train", ALL), ("freeze", ALL), ("drift", frozenset()), ("always", frozenset())]
)
def test_a_policy_says_of_which_stages_nothing_may_change(normalization: str, fixed: frozenset[str]) -> None:
    policy = FreezePolicy(ALL, normalization)  # pyright: ignore[reportArgumentType]
    assert policy.fixed == fixed
    assert policy.mode("conv1") == "frozen"  # its weights, whatever its statistics do


def test_a_recipe_says_where_a_stage_comes_from() -> None:
    recipe = Recipe(transferred=frozenset({"conv1"}), matched=frozenset({"conv2"}))
    assert recipe.origin("conv1") == "transferred"
    assert recipe.origin("conv2") == "matched"
    assert recipe.origin("conv3") == "random"
    assert Recipe(transferred=ALL, own=NETWORK).origin("conv1") == "own"


def test_a_recipe_says_whether_any_phase_trains_a_stage() -> None:
    probe, rest = Phase(FreezePolicy(ALL), 0.5), Phase(FreezePolicy(frozenset({"conv1"})), 0.5)
    assert [Recipe(phases=(probe, rest)).mode(stage) for stage in ("conv1", "conv2")] == ["frozen", "trained"]
    assert Recipe().mode("conv1") == "frozen"
    assert Recipe(phases=(Phase(FreezePolicy()),), low_rank=2).mode("conv1") == "low-rank"


@pytest.mark.parametrize(
    ("recipe", "needs"),
    [
        (Recipe(), False),
        (Recipe(learner="pixels"), False),
        (Recipe(transferred=frozenset({"conv1"})), True),
        (Recipe(head="source"), True),
        (Recipe(matched=frozenset({"conv1"})), True),
        (Recipe(transferred=ALL, own=Recipe()), False),
        (Recipe(distillation=Distillation(teacher=NETWORK)), True),
        (Recipe(distillation=Distillation(teacher=Recipe())), False),
        (Recipe(pull=Pull()), False),
    ],
)
def test_a_recipe_needs_the_source_if_anything_comes_from_it(recipe: Recipe, needs: bool) -> None:
    assert recipe.needs_source is needs


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_shares_must_sum_to_one(parts: list[float]) -> None:
    whole = sum(parts)
    assert Recipe(phases=tuple(Phase(FreezePolicy(), share=part / whole) for part in parts)).phases
    with pytest.raises(ValueError, match="sum to 1"):
        Recipe(phases=tuple(Phase(FreezePolicy(), share=part / whole * 0.9) for part in parts))


def test_low_rank_updates_and_frozen_stages_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="low-rank"):
        Recipe(phases=(Phase(FreezePolicy(ALL)),), low_rank=2)
    assert Recipe(phases=(Phase(FreezePolicy()),), low_rank=2).low_rank == 2


# --- rates ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.floats(0.05, 0.99), st.floats(1.5, 50), st.floats(10, 1e5))
def test_one_cycle_rises_once_and_falls_once(steps: int, rise: float, start: float, end: float) -> None:
    factors = OneCycle(rise, start, end).factors(steps)
    assert factors.shape == (steps,)
    assert factors.dtype == np.float32
    assert (factors > 0).all()
    assert (factors <= 1 + 1e-6).all()
    top = int(factors.argmax())
    tolerance = 1e-6
    assert all(one <= other + tolerance for one, other in pairwise(factors[: top + 1]))
    assert all(one >= other - tolerance for one, other in pairwise(factors[top:]))


def test_one_cycle_is_fastais() -> None:
    """fastai 2's `combined_cos(.25, 1/25, 1, 1e-5)`, which it reads at i / n in step i of n."""
    expected = [1 / 25 + (1 - 1 / 25) * (1 + np.cos(np.pi * (1 - i / 8 / 0.25))) / 2 for i in range(2)]
    expected += [1e-5 + (1 - 1e-5) * (1 + np.cos(np.pi * (i / 8 - 0.25) / 0.75)) / 2 for i in range(2, 8)]
    np.testing.assert_allclose(OneCycle().factors(8), expected, rtol=1e-5)


def test_a_cycle_of_one_step_learns_something() -> None:
    assert OneCycle().factors(1)[0] > 0.03


@given(st.floats(1e-6, 1), st.floats(0.01, 1), st.integers(0, 50))
def test_a_phase_without_a_cycle_has_one_rate(rate: float, factor: float, steps: int) -> None:
    rates = Phase(FreezePolicy(), rate=factor).rates(rate, steps)
    np.testing.assert_array_equal(rates, np.full(steps, np.float32(rate * factor)))


def test_a_cycle_scales_the_phases_rate() -> None:
    phase = Phase(FreezePolicy(), rate=0.5, cycle=OneCycle())
    np.testing.assert_allclose(phase.rates(1e-2, 20), 5e-3 * OneCycle().factors(20), rtol=1e-6)


# --- values -----------------------------------------------------------------------------------------------------------


def test_recipes_are_values() -> None:
    recipe = Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),))
    assert recipe == Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),))
    assert hash(recipe) == hash(Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),)))
    with pytest.raises(FrozenInstanceError):
        recipe.learner = "pixels"  # pyright: ignore[reportAttributeAccessIssue]
