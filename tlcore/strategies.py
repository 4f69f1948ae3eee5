"""The registry of strategies: each a few lines that turn a backbone's stages into a `Recipe`.

Adding a strategy is one entry in `STRATEGIES`: the controls, the command line, the URL and the tests pick it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tlcore.errors import UserError, unknown_name
from tlcore.policy import FreezePolicy, Phase, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.models.registry import Backbone


@dataclass(frozen=True)
class Strategy:
    """A named way of using (or not using) a source model on a target task.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it does, in one sentence.
        kind: ``baseline`` (no transfer), ``transfer``, or ``control`` (there to rule out another explanation).
        recipe: Makes the recipe for a backbone and a cut point (the number of first stages held frozen, or None for
            the strategy's own choice).
        colour: The strategy's colour on every page (Okabe and Ito's palette, safe for colour-blind readers).
        dash: Plotly's name for its line style, so that colour is never the only difference.
        paper: Where it comes from, if anywhere.
    """

    name: str
    title: str
    sentence: str
    kind: Literal["baseline", "transfer", "control"]
    recipe: Callable[[Backbone, int | None], Recipe]
    colour: str
    dash: str = "solid"
    paper: str = ""


def _one_phase(backbone: Backbone, *, transferred: frozenset[str], frozen: frozenset[str]) -> Recipe:
    unknown = (transferred | frozen) - frozenset(backbone.stage_names)
    if unknown:
        raise UserError(f"backbone {backbone.name} has no stage {', '.join(sorted(unknown))}")
    return Recipe(transferred=transferred, phases=(Phase(FreezePolicy(frozen=frozen)),))


def _everything(backbone: Backbone) -> frozenset[str]:
    return frozenset(backbone.stage_names)


def _scratch(backbone: Backbone, _: int | None) -> Recipe:
    return _one_phase(backbone, transferred=frozenset(), frozen=frozenset())


def _feature_extraction(backbone: Backbone, _: int | None) -> Recipe:
    return _one_phase(backbone, transferred=_everything(backbone), frozen=_everything(backbone))


def _freeze_conv(backbone: Backbone, _: int | None) -> Recipe:
    convolutions = frozenset(stage.name for stage in backbone.stages if stage.kind == "conv")
    if not convolutions:
        raise UserError(
            f"freeze_conv needs a backbone with convolutions and {backbone.name} has none: choose another backbone"
        )
    return _one_phase(backbone, transferred=convolutions, frozen=convolutions)


def _fine_tune_last(backbone: Backbone, cut: int | None) -> Recipe:
    names = backbone.stage_names
    frozen = names[:-1] if cut is None else names[:cut]
    return _one_phase(backbone, transferred=_everything(backbone), frozen=frozenset(frozen))


def _fine_tune_all(backbone: Backbone, _: int | None) -> Recipe:
    return _one_phase(backbone, transferred=_everything(backbone), frozen=frozenset())


def _random_features(backbone: Backbone, _: int | None) -> Recipe:
    return _one_phase(backbone, transferred=frozenset(), frozen=_everything(backbone))


def _direct_reuse(backbone: Backbone, _: int | None) -> Recipe:
    return Recipe(transferred=_everything(backbone), head="source")


def _pixel_baseline(_: Backbone, __: int | None) -> Recipe:
    return Recipe(learner="pixels")


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "scratch",
            "From scratch",
            "Same network, fresh weights, everything trained on the target: what transfer has to beat.",
            "baseline",
            _scratch,
            "#6E6E6E",
        ),
        Strategy(
            "feature_extraction",
            "Feature extraction",
            "The whole source backbone frozen, only a new head trained.",
            "transfer",
            _feature_extraction,
            "#0072B2",
            paper="Donahue et al. 2014, DeCAF",
        ),
        Strategy(
            "freeze_conv",
            "Freeze convolutions",
            "The source's convolutions frozen; a fresh fully connected part and a new head trained.",
            "transfer",
            _freeze_conv,
            "#56B4E9",
            dash="dash",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "fine_tune_last",
            "Fine-tune the last stage",
            "All source weights loaded; the stages before the cut point frozen, the last one and a new head trained.",
            "transfer",
            _fine_tune_last,
            "#009E73",
            dash="dashdot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "fine_tune_all",
            "Fine-tune everything",
            "All source weights loaded as the starting point, everything trained together with a new head.",
            "transfer",
            _fine_tune_all,
            "#D55E00",
            paper="Girshick et al. 2014, R-CNN",
        ),
        Strategy(
            "random_features",
            "Random features",
            "The same network with random weights, frozen, and a trained head: is it the learned weights or the shape?",
            "control",
            _random_features,
            "#CC79A7",
            dash="dot",
            paper="Saxe et al. 2011",
        ),
        Strategy(
            "direct_reuse",
            "Direct reuse",
            "The source model as it is, its own output layer included; nothing trained.",
            "control",
            _direct_reuse,
            "#B8860B",
            dash="longdash",
        ),
        Strategy(
            "pixel_baseline",
            "Pixel baseline",
            "Logistic regression on the raw pixels (scikit-learn): does the task need a network at all?",
            "control",
            _pixel_baseline,
            "#8C564B",
            dash="longdashdot",
        ),
    )
}


def get_strategy(name: str) -> Strategy:
    """Find a strategy by name.

    Args:
        name: A key of `STRATEGIES`.

    Returns:
        The strategy.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UserError(unknown_name("strategy", name, STRATEGIES)) from None
