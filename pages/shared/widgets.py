"""The widget of each kind of `Experiment` field; options come from the registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import streamlit as st

from tlcore.data.registry import DATASETS
from tlcore.experiment import Experiment, field_range
from tlcore.models.registry import BACKBONES
from tlcore.strategies import STRATEGIES

Kind = Literal["dataset", "backbone", "strategies", "integer", "optional", "choice", "rates", "cut"]
PREFIX = "compare."
AUTOMATIC = "automatic"
CHOICES = {
    "none": "None",
    "shift": "Shift",
    "shift_flip": "Shift and mirror",
    "auto": "Automatic",
    "float32": "float32",
    "mixed_bfloat16": "mixed bfloat16",
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
    """

    label: str
    help: str
    kind: Kind
    main: bool = False
    start: float = 0.0
    step: float = 1


def _dataset_title(name: str) -> str:
    spec = DATASETS[name]
    return spec.title + (" · generated" if spec.kind == "generated" else "")


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
            name = st.selectbox(control.label, list(DATASETS), format_func=_dataset_title, key=key, help=control.help)
            st.caption(DATASETS[name].sentence)
            return name
        case "backbone":
            return st.selectbox(
                control.label,
                list(BACKBONES),
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
        case "cut":
            stages = BACKBONES[before["backbone"]].stage_names
            names: dict[int | str, str] = {AUTOMATIC: "Automatic: all but the last", 0: "none frozen"}
            names |= {count: f"up to {stages[count - 1]}" for count in range(1, len(stages) + 1)}
            if st.session_state[key] not in names:
                st.session_state[key] = AUTOMATIC  # another network with fewer stages was chosen
            cut = st.selectbox(control.label, list(names), format_func=names.__getitem__, key=key, help=control.help)
            return None if cut == AUTOMATIC else cut


def _strategies(control: Control, key: str) -> tuple[str, ...]:
    groups = {
        key: (control.label, control.help, ("baseline", "transfer")),
        key + ".control": (
            "Control arms",
            "They rule out other explanations: that the network's shape, its output layer or the pixels alone do it.",
            ("control",),
        ),
    }
    chosen: list[str] = []
    for group, (label, text, kinds) in groups.items():
        names = [name for name, strategy in STRATEGIES.items() if strategy.kind in kinds]
        chosen += st.pills(
            label, names, selection_mode="multi", format_func=_strategy_title, key=group, help=text, wrap=True
        )
    # The order of a link is kept, for the baseline may depend on it; what is added follows in the registry's order.
    order = [*st.session_state[PREFIX + "order"], *STRATEGIES]
    return tuple(sorted(chosen, key=order.index))


def _optional(field: str, control: Control, key: str) -> float | None:
    low, high = field_range(field)
    label = "Choose it for every arm" if field == "learning_rate" else "No limit"
    automatic = st.toggle(f"{control.label}: {label.lower()}", key=key + ".auto", help=control.help)
    value = st.number_input(
        control.label,
        min_value=low or 1e-12,  # the declared end is exclusive
        max_value=float(high),
        step=1e-3 if field == "learning_rate" else float(control.step),
        format="%g",
        key=key,
        disabled=automatic,
        label_visibility="collapsed",
    )
    return None if automatic else float(value)
