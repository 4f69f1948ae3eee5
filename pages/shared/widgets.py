"""The widget of each kind of `Experiment` field; options come from the registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import streamlit as st

from tlcore.data.external import EXTERNAL, SOURCES, TARGETS, ExternalSource
from tlcore.data.registry import DATASETS
from tlcore.experiment import Experiment, field_range
from tlcore.models.registry import BACKBONES
from tlcore.strategies import STRATEGIES

Kind = Literal["dataset", "backbone", "strategies", "integer", "optional", "choice", "rates", "cut", "text"]
PREFIX = "compare."
AUTOMATIC = "automatic"
CHOICES = {
    "none": "None",
    "shift": "Shift",
    "shift_flip": "Shift and mirror",
    "auto": "Automatic",
    "float32": "float32",
    "mixed_bfloat16": "mixed bfloat16",
    "train": "Learns and moves",
    "freeze": "Held",
    "recalibrate": "Measured anew at the end",
}


@dataclass(frozen=True)
class Control:
    """One field of `Experiment` on the page.

    Args:
        label: What the page calls it.
        help: What it means and when to change it.
        kind: Which widget it gets.
        main: Whether it is always visible; the others are under "More settings".
        start: For ``optional`` numbers, the value offered first when it is no longer automatic.
        step: For numbers, what one click changes.
        automatic: For ``optional`` numbers, what not choosing one means.
        sources: ``here`` for sources whose images are here, ``published`` for published weights, empty for both.
    """

    label: str
    help: str
    kind: Kind
    main: bool = False
    start: float = 0.0
    step: float = 1
    automatic: str = ""
    sources: Literal["", "here", "published"] = ""


@dataclass(frozen=True)
class StrategyGroup:
    """Strategies that are offered together.

    Args:
        suffix: What tells its key from the other groups'.
        label: What the page calls it; empty for the field's own label.
        help: What it is for; empty for the field's own help.
        names: Names of its strategies.
    """

    suffix: str
    label: str
    help: str
    names: tuple[str, ...]


COMMON = ("scratch", "feature_extraction", "freeze_conv", "fine_tune_last", "fine_tune_all")
_KINDS = {name: strategy.kind for name, strategy in STRATEGIES.items()}
GROUPS = (
    StrategyGroup("", "", "", COMMON),
    StrategyGroup(
        ".more",
        "Further strategies",
        "Other ways of the literature to use a source model; the tutorial's pages come to most of them.",
        tuple(name for name, kind in _KINDS.items() if kind != "control" and name not in COMMON),
    ),
    StrategyGroup(
        ".control",
        "Control arms",
        "They rule out other explanations: that the network's shape, its output layer or the pixels alone do it.",
        tuple(name for name, kind in _KINDS.items() if kind == "control"),
    ),
)


def _dataset_title(name: str) -> str:
    spec = SOURCES[name]
    if isinstance(spec, ExternalSource):
        return f"{spec.title} · published weights"
    if spec.source_only:
        return f"{spec.title} · control"
    return spec.title + (" · generated" if spec.kind == "generated" else "")


def _dataset_names(field: str, chosen: str) -> list[str]:
    """What can be chosen: as a target what can be one, as a source everything, the controls last."""
    names = [*TARGETS]
    if field == "source":
        names += [
            *(name for name in EXTERNAL if _backbone_names(name)),
            *(name for name in DATASETS if name not in TARGETS),
        ]
    return names if chosen in names else [chosen, *names]  # chosen classes and own pictures are not listed


def _backbone_names(source: str) -> list[str]:
    """Networks that go with a source: published weights belong to networks of their own."""
    wanted = source if source in EXTERNAL else ""
    return [name for name, backbone in BACKBONES.items() if backbone.external_source == wanted]


def _strategy_title(name: str) -> str:
    return STRATEGIES[name].title


def draw_widget(field: str, control: Control, before: dict[str, Any]) -> Any:
    """Draw one control, whose value is in the session already.

    Args:
        field: Field of `Experiment`.
        control: How it is shown.
        before: Values of the controls drawn before it.

    Returns:
        Its value, in the form that `Experiment` takes.
    """
    key = PREFIX + field
    match control.kind:
        case "dataset":
            name = st.selectbox(
                control.label,
                _dataset_names(field, st.session_state[key]),
                format_func=_dataset_title,
                key=key,
                help=control.help,
            )
            st.caption(SOURCES[name].sentence)
            return name
        case "backbone":
            names = _backbone_names(before["source"])
            if st.session_state[key] not in names:
                st.session_state[key] = names[0]  # a source was chosen that this network does not go with
            return st.selectbox(
                control.label,
                names,
                format_func=lambda name: BACKBONES[name].title,
                key=key,
                help=control.help,
            )
        case "strategies":
            return _strategies(control, key)
        case "integer":
            low, high = field_range(field)
            return int(
                st.number_input(control.label, int(low), int(high), step=int(control.step), key=key, help=control.help)
            )
        case "optional":
            return _optional(field, control, key)
        case "choice":
            options = get_args(Experiment.model_fields[field].annotation)
            return st.selectbox(
                control.label,
                options,
                format_func=lambda name: CHOICES.get(name) or str(name),
                key=key,
                help=control.help,
            )
        case "rates":
            options = st.session_state[key + ".options"]
            fixed = before.get("learning_rate") is not None
            chosen = st.pills(
                control.label,
                options,
                selection_mode="multi",
                format_func=lambda rate: f"{rate:g}",
                key=key,
                help=control.help,
                disabled=fixed,
                wrap=True,
            )
            return tuple(sorted(chosen))
        case "text":
            return st.text_input(control.label, key=key, help=control.help, max_chars=100).strip() or None
        case "cut":
            stages = BACKBONES[before["backbone"]].stage_names
            cuts: dict[int | str, str] = {AUTOMATIC: "Automatic: all but the last", 0: "none frozen"}
            cuts |= {count: f"up to {stages[count - 1]}" for count in range(1, len(stages) + 1)}
            if st.session_state[key] not in cuts:
                st.session_state[key] = AUTOMATIC  # another network with fewer stages was chosen
            cut = st.selectbox(control.label, list(cuts), format_func=cuts.__getitem__, key=key, help=control.help)
            return None if cut == AUTOMATIC else cut


def _strategies(control: Control, key: str) -> tuple[str, ...]:
    chosen: list[str] = []
    for group in GROUPS:
        chosen += st.pills(
            group.label or control.label,
            group.names,
            selection_mode="multi",
            format_func=_strategy_title,
            key=key + group.suffix,
            help=group.help or control.help,
            wrap=True,
        )
    # The order of a link is kept, for the baseline may depend on it; what is added follows in the registry's order.
    order = [*st.session_state[PREFIX + "order"], *STRATEGIES]
    return tuple(sorted(chosen, key=order.index))


def _optional(field: str, control: Control, key: str) -> float | None:
    low, high = field_range(field)
    automatic = st.toggle(f"{control.label}: {control.automatic}", key=key + ".auto", help=control.help)
    whole = isinstance(control.start, int)
    kind = int if whole else float
    value = st.number_input(
        control.label,
        min_value=kind(low) or 1e-12,  # the declared end is exclusive
        max_value=kind(high),
        step=kind(control.step),
        format="%d" if whole else "%g",
        key=key,
        disabled=automatic,
        label_visibility="collapsed",
    )
    return None if automatic else kind(value)
