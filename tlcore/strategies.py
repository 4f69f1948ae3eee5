"""The registry of strategies: each a few lines that turn a backbone's stages into a `Recipe`.

Adding a strategy is one entry in `STRATEGIES`: the controls, the command line, the URL and the tests pick it up.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tlcore.errors import UserError, unknown_name
from tlcore.policy import Distillation, FreezePolicy, Normalization, OneCycle, Phase, Pull, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tlcore.models.registry import Backbone

LP_SHARE = 0.5
ONE_EPOCH = 0.2
STAGE_DECAY = 2.6
RANK = 4
BYTES = 255.0


@dataclass(frozen=True)
class Choices:
    """What a person may choose about a strategy; None leaves it to the strategy.

    Args:
        cut: Number of first stages that are held frozen, or copied.
        unfreeze_at: Share of the steps after which a strategy of two phases unfreezes, in (0, 1).
    """

    cut: int | None = None
    unfreeze_at: float | None = None


@dataclass(frozen=True)
class Strategy:
    """A named way of using (or not using) a source model on a target task.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it does, in one sentence.
        kind: ``baseline`` (no transfer), ``transfer``, or ``control`` (there to rule out another explanation).
        make: Makes the recipe for a backbone.
        colour: The strategy's colour on every page (Okabe and Ito's palette first, safe for colour-blind readers).
        dash: Plotly's name for its line style, so that colour is never the only difference.
        paper: Where it comes from, if anywhere.
    """

    name: str
    title: str
    sentence: str
    kind: Literal["baseline", "transfer", "control"]
    make: Callable[[Backbone, Choices], Recipe]
    colour: str
    dash: str = "solid"
    paper: str = ""

    def recipe(self, backbone: Backbone, cut: int | None = None, unfreeze_at: float | None = None) -> Recipe:
        """The strategy's recipe.

        Args:
            backbone: The network.
            cut: Number of first stages that are held frozen or copied, for the strategies that have a cut.
            unfreeze_at: Share of the steps after which the strategies of two phases unfreeze.

        Returns:
            The recipe.

        Raises:
            UserError: If the strategy cannot be used with this backbone.

        Example:
            >>> from tlcore.models import get_backbone
            >>> recipe = get_strategy("fine_tune_last").recipe(get_backbone("cnn_small"))
            >>> sorted(recipe.phases[0].policy.frozen)
            ['conv1', 'conv2']
        """
        choices = Choices(cut, unfreeze_at)
        recipe = self.make(backbone, choices)
        if backbone.fixed and not recipe.keeps(backbone.stage_names):
            raise UserError(
                f"{self.name} trains {backbone.name} or starts it afresh, and a SavedModel can only be used as it is: "
                f"choose {', '.join(_keeping(backbone, choices))}"
            )
        return recipe


def _keeping(backbone: Backbone, choices: Choices) -> list[str]:
    """Names of the strategies that use a backbone only as it is."""
    found: list[str] = []
    for name, strategy in STRATEGIES.items():
        with suppress(UserError):
            if strategy.make(backbone, choices).keeps(backbone.stage_names):
                found.append(name)
    return found


# --- the parts that recipes share -------------------------------------------------------------------------------------

NOTHING: frozenset[str] = frozenset()


def _all(backbone: Backbone) -> frozenset[str]:
    return frozenset(backbone.stage_names)


def _first(backbone: Backbone, choices: Choices) -> frozenset[str]:
    """The stages before the cut; half of them unless chosen."""
    count = max(1, len(backbone.stages) // 2) if choices.cut is None else choices.cut
    return frozenset(backbone.stage_names[:count])


def _one_phase(transferred: frozenset[str], frozen: frozenset[str], normalization: Normalization = "train") -> Recipe:
    return Recipe(transferred=transferred, phases=(Phase(FreezePolicy(frozen, normalization)),))


def _probe_then(backbone: Backbone, choices: Choices, then: Phase) -> Recipe:
    """First the head alone, then another phase."""
    share = LP_SHARE if choices.unfreeze_at is None else choices.unfreeze_at
    probe = Phase(FreezePolicy(_all(backbone)), share)
    return Recipe(transferred=_all(backbone), phases=(probe, replace(then, share=1 - share)))


def _by_depth(backbone: Backbone, factor: float) -> tuple[tuple[str, float], ...]:
    """Rates that fall by a factor a stage, from the head towards the input."""
    depth = len(backbone.stages)
    return tuple((name, factor ** -(depth - i)) for i, name in enumerate(backbone.stage_names))


# --- recipes ----------------------------------------------------------------------------------------------------------


def _direct_reuse(backbone: Backbone, _: Choices) -> Recipe:
    if backbone.family == "application":
        raise UserError(f"direct_reuse needs an output layer and {backbone.name} is loaded without: leave it out")
    return Recipe(transferred=_all(backbone), head="source")


def _freeze_conv(backbone: Backbone, _: Choices) -> Recipe:
    convolutions = frozenset(stage.name for stage in backbone.stages if stage.kind != "dense")
    if not convolutions:
        raise UserError(
            f"freeze_conv needs a backbone with convolutions and {backbone.name} has none: choose another backbone"
        )
    if convolutions == _all(backbone):
        raise UserError(f"{backbone.name} is all convolutions, so freeze_conv would be feature_extraction: use that")
    return _one_phase(convolutions, convolutions)


def _fine_tune_last(backbone: Backbone, choices: Choices) -> Recipe:
    names = backbone.stage_names
    return _one_phase(_all(backbone), frozenset(names[:-1] if choices.cut is None else names[: choices.cut]))


def _lp_ft(backbone: Backbone, choices: Choices) -> Recipe:
    return _probe_then(backbone, choices, Phase(FreezePolicy(), rate=0.1))


def _head_continued(backbone: Backbone, choices: Choices) -> Recipe:
    return _probe_then(backbone, choices, Phase(FreezePolicy(_all(backbone)), rate=0.1))


def _gradual_unfreeze(backbone: Backbone, _: Choices) -> Recipe:
    names = backbone.stage_names
    share = 1 / (len(names) + 1)
    phases = tuple(Phase(FreezePolicy(frozenset(names[:frozen])), share) for frozen in range(len(names), -1, -1))
    return Recipe(transferred=_all(backbone), phases=phases)


def _discriminative_lr(backbone: Backbone, _: Choices) -> Recipe:
    phase = Phase(FreezePolicy(), stage_rates=_by_depth(backbone, STAGE_DECAY))
    return Recipe(transferred=_all(backbone), phases=(phase,))


def _fastai_fine_tune(backbone: Backbone, choices: Choices) -> Recipe:
    share = ONE_EPOCH if choices.unfreeze_at is None else choices.unfreeze_at
    # `fine_tune(epochs, base_lr, lr_mult=100)`: from base / 100 at the input to base at the head, both halved.
    across = 100 ** (1 / len(backbone.stages))
    return Recipe(
        transferred=_all(backbone),
        phases=(
            Phase(
                FreezePolicy(_all(backbone), "always"),
                share,
                # `slice(base_lr)`: a tenth below the head, where nothing but batch normalisation learns.
                stage_rates=tuple((name, 0.1) for name in backbone.stage_names),
                cycle=OneCycle(rise=0.99),
            ),
            Phase(
                FreezePolicy(),
                1 - share,
                rate=0.5,
                stage_rates=_by_depth(backbone, across),
                cycle=OneCycle(rise=0.3, start=5.0),
            ),
        ),
    )


def _copy(backbone: Backbone, choices: Choices, *, frozen: bool) -> Recipe:
    first = _first(backbone, choices)
    return _one_phase(first, first if frozen else NOTHING)


def _self_copy(backbone: Backbone, choices: Choices, *, frozen: bool) -> Recipe:
    copy = _copy(backbone, choices, frozen=frozen)
    return replace(copy, own=_one_phase(NOTHING, NOTHING)) if copy.transferred else copy


def _frozen_drift(backbone: Backbone, _: Choices) -> Recipe:
    if backbone.normalization != "batch":
        raise UserError(
            f"frozen_drift shows what batch normalisation does and {backbone.name} has none: "
            "choose mini_resnet_bn or an ImageNet backbone"
        )
    return _one_phase(_all(backbone), _all(backbone), "drift")


def _no_recompile(backbone: Backbone, choices: Choices) -> Recipe:
    # The line that is forgotten, `compile`, would also have brought the new rate and the fresh optimiser. So what is
    # left is feature extraction, bit by bit; Keras on JAX stops with an error instead.
    return replace(_lp_ft(backbone, choices), stale=True)


def _wrong_preprocessing(backbone: Backbone, _: Choices) -> Recipe:
    # Small networks here learn from [0, 1], so bytes are the accident. Those of `keras.applications` take bytes through
    # `preprocess_input`, or inside, so pixels that were divided by 255 before are: nearly black pictures.
    scale = BYTES if backbone.family == "small" else 1 / BYTES
    return replace(_one_phase(_all(backbone), _all(backbone)), input_scale=scale)


def _small(backbone: Backbone, distillation: Distillation | None) -> Recipe:
    if not backbone.student:
        raise UserError(f"{backbone.name} has no smaller network to teach: choose another backbone")
    return replace(_one_phase(NOTHING, NOTHING), small=True, distillation=distillation)


def _distillation(backbone: Backbone, _: Choices) -> Recipe:
    return _small(backbone, Distillation(teacher=_one_phase(_all(backbone), NOTHING)))


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "scratch",
            "From scratch",
            "Same network, fresh weights, everything trained on the target: what transfer has to beat.",
            "baseline",
            lambda _, __: _one_phase(NOTHING, NOTHING),
            "#6E6E6E",
        ),
        Strategy(
            "feature_extraction",
            "Feature extraction",
            "The whole source backbone frozen, only a new head trained.",
            "transfer",
            lambda backbone, _: _one_phase(_all(backbone), _all(backbone)),
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
            lambda backbone, _: _one_phase(_all(backbone), NOTHING),
            "#D55E00",
            paper="Girshick et al. 2014, R-CNN",
        ),
        Strategy(
            "lp_ft",
            "Probe, then fine-tune",
            "Half of the steps for the head alone, then everything trained at a tenth of the rate.",
            "transfer",
            _lp_ft,
            "#6F55DD",
            dash="dash",
            paper="Kumar et al. 2022",
        ),
        Strategy(
            "gradual_unfreeze",
            "Gradual unfreezing",
            "First the head alone, then one more stage after another from the top, in equal shares of the steps.",
            "transfer",
            _gradual_unfreeze,
            "#44AA99",
            dash="dot",
            paper="Howard & Ruder 2018, ULMFiT",
        ),
        Strategy(
            "discriminative_lr",
            "Lower rates below",
            "Everything trained, each stage at the rate of the stage above divided by 2.6.",
            "transfer",
            _discriminative_lr,
            "#117733",
            dash="longdash",
            paper="Howard & Ruder 2018, ULMFiT",
        ),
        Strategy(
            "fastai_fine_tune",
            "fastai's recipe",
            "A fifth of the steps for the head, then everything, rates from a hundredth at the input, one cycle each.",
            "transfer",
            _fastai_fine_tune,
            "#AA4499",
            dash="dashdot",
            paper="Howard & Gugger 2020, fastai",
        ),
        Strategy(
            "l2_sp",
            "Held near the start",
            "Everything trained with a penalty on leaving the source's weights.",
            "transfer",
            lambda backbone, _: replace(_one_phase(_all(backbone), NOTHING), pull=Pull()),
            "#E69F00",
            dash="dash",
            paper="Li et al. 2018, L2-SP",
        ),
        Strategy(
            "lora",
            "Low-rank updates",
            "Every kernel stays as it is; a product of two thin matrices, added to it, is trained with a new head.",
            "transfer",
            lambda backbone, _: replace(_one_phase(_all(backbone), NOTHING), low_rank=RANK),
            "#88CCEE",
            dash="longdashdot",
            paper="Hu et al. 2022, LoRA",
        ),
        Strategy(
            "distillation",
            "Distilled into a small net",
            "Everything fine-tuned first; then a smaller fresh network learns from its outputs and from the labels.",
            "transfer",
            _distillation,
            "#C0356A",
            dash="dash",
            paper="Hinton et al. 2015",
        ),
        Strategy(
            "copy_frozen",
            "First stages copied, frozen",
            "The stages before the cut copied from the source and frozen, the others fresh and trained (AnB).",
            "transfer",
            lambda backbone, choices: _copy(backbone, choices, frozen=True),
            "#3B6FB6",
            dash="dot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "copy_fine_tuned",
            "First stages copied, trained",
            "The stages before the cut copied from the source, the others fresh, everything trained (AnB+).",
            "transfer",
            lambda backbone, choices: _copy(backbone, choices, frozen=False),
            "#B5501E",
            dash="dot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "random_features",
            "Random features",
            "The same network with random weights, frozen, and a trained head: is it the learned weights or the shape?",
            "control",
            lambda backbone, _: _one_phase(NOTHING, _all(backbone)),
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
            lambda _, __: Recipe(learner="pixels"),
            "#8C564B",
            dash="longdashdot",
        ),
        Strategy(
            "head_continued",
            "Head trained on",
            "As 'Probe, then fine-tune', but nothing is unfrozen: what the second half of the steps brings by itself.",
            "control",
            _head_continued,
            "#9C8ADE",
            dash="longdash",
            paper="Kumar et al. 2022",
        ),
        Strategy(
            "mean_var_init",
            "Random, same scale",
            "Fresh weights with the mean and spread of the source's, everything trained: is it only their scale?",
            "control",
            lambda backbone, _: replace(_one_phase(NOTHING, NOTHING), matched=_all(backbone)),
            "#999933",
            dash="dash",
            paper="Raghu et al. 2019, Transfusion",
        ),
        Strategy(
            "self_copy_frozen",
            "Own stages copied, frozen",
            "The same cut in a network trained on the target's own labels (BnB): what cutting costs by itself.",
            "control",
            lambda backbone, choices: _self_copy(backbone, choices, frozen=True),
            "#7FA7D6",
            dash="longdashdot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "self_copy_fine_tuned",
            "Own stages copied, trained",
            "The same cut in a network trained on the target's own labels, everything trained on (BnB+).",
            "control",
            lambda backbone, choices: _self_copy(backbone, choices, frozen=False),
            "#D98C5F",
            dash="longdashdot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "random_copy_frozen",
            "First stages random, frozen",
            "The stages before the cut random and frozen, the others trained: does the copy hold more than chance?",
            "control",
            lambda backbone, choices: _one_phase(NOTHING, _first(backbone, choices)),
            "#C2A5CF",
            dash="dashdot",
            paper="Yosinski et al. 2014",
        ),
        Strategy(
            "frozen_drift",
            "Frozen, statistics drifting",
            "The backbone frozen, but its batch normalisation left in training mode: the usual accident.",
            "control",
            _frozen_drift,
            "#CC6677",
            dash="dot",
            paper="Ioffe & Szegedy 2015",
        ),
        Strategy(
            "no_recompile",
            "Unfrozen, not recompiled",
            "As 'Probe, then fine-tune', but never compiled again: on TensorFlow the backbone stays frozen, silently.",
            "control",
            _no_recompile,
            "#C43131",
            dash="dashdot",
            paper="Chollet 2020, Keras guide to transfer learning",
        ),
        Strategy(
            "wrong_preprocessing",
            "Wrong preprocessing",
            "Feature extraction from pictures in another range than the source learned from, such as 0–255 for 0–1.",
            "control",
            _wrong_preprocessing,
            "#4F7F7F",
            dash="dot",
        ),
        Strategy(
            "small_scratch",
            "Small net from scratch",
            "The smaller network of 'Distilled into a small net' trained on the labels alone.",
            "control",
            lambda backbone, _: _small(backbone, None),
            "#A9A9A9",
            dash="dash",
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
