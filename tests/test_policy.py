"""Recipes as values: what they promise whatever strategy made them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcore.policy import FreezePolicy, Phase, Recipe


def test_a_policy_says_what_a_stage_is() -> None:
    policy = FreezePolicy(frozen=frozenset({"conv1"}))
    assert policy.mode("conv1") == "frozen"
    assert policy.mode("conv2") == "trained"
    assert FreezePolicy().mode("conv1") == "trained"


def test_a_recipe_says_where_a_stage_comes_from() -> None:
    recipe = Recipe(transferred=frozenset({"conv1"}))
    assert recipe.origin("conv1") == "transferred"
    assert recipe.origin("conv2") == "random"


@pytest.mark.parametrize(
    ("recipe", "needs"),
    [
        (Recipe(), False),
        (Recipe(learner="pixels"), False),
        (Recipe(transferred=frozenset({"conv1"})), True),
        (Recipe(head="source"), True),
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


def test_recipes_are_values() -> None:
    recipe = Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),))
    assert recipe == Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),))
    assert hash(recipe) == hash(Recipe(phases=(Phase(FreezePolicy(frozenset({"conv1"}))),)))
    with pytest.raises(FrozenInstanceError):
        recipe.learner = "pixels"  # pyright: ignore[reportAttributeAccessIssue]
