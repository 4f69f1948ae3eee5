"""The recipe for real models, as it is usually written and then improved: recorded, each step against the last."""

from __future__ import annotations

import streamlit as st

from pages.shared.charts import fold, show_figure, show_table
from tlcore.errors import UserError
from tlcore.models.registry import BACKBONES
from tlcore.recipe import RECIPE, MeasuredRecipe
from tlcore.views.recipe import recipe_figure, recipe_sentences, recipe_table


def show_recipe(key: str) -> None:
    """Show the recorded recipe.

    Args:
        key: Prefix of the widgets' keys.
    """
    try:
        recipe = MeasuredRecipe.read(RECIPE)
    except UserError:
        st.info("The recipe is not measured here: `python -m tlcore recipe --json data/records/recipe.json`.")
        return
    asked, where = recipe.experiment, recipe.environment
    st.markdown(
        f"**{BACKBONES[asked.backbone].title}** at {asked.shape[0]} pixels on **{recipe.dataset.title}**, "
        f"{asked.labels_per_class} labels a class, {asked.seeds} seeds. Every step changes one thing about the step "
        "before it.  \n"
        f":violet-badge[:material/history: recorded] {recipe.created.day} {recipe.created:%B %Y}, {where.machine}"
    )
    words = recipe_sentences(recipe)
    show_figure(lambda: recipe_figure(recipe), recipe.created, f"{key}-recipe", " ".join(words), recorded=True)
    st.caption(
        "Points: mean test accuracy with its 95 % interval over seeds. Bars: seconds of training, tests left out."
    )
    table = recipe_table(recipe)
    fold(
        "Every step as a table", f"{key}-recipe-more", lambda: show_table(table, f"{key}-recipe-table", " ".join(words))
    )
    fold("What each step changes", f"{key}-recipe-steps", lambda: st.markdown(_steps(recipe)))
    st.caption("Measure it with another network or task: `python -m tlcore recipe --help`.")


def _steps(recipe: MeasuredRecipe) -> str:
    return "\n".join(
        f"{number}. **{step.title}.** {step.sentence}" for number, step in enumerate(recipe.steps, start=1)
    )
