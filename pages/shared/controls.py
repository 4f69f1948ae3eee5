"""The controls of an `Experiment`: one table of labels and helps, everything else from the registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import streamlit as st

from tlcore.data.registry import DATASETS
from tlcore.errors import UserError
from tlcore.experiment import DEFAULT_GRID, Experiment, field_range
from tlcore.models.registry import BACKBONES
from tlcore.strategies import STRATEGIES

Kind = Literal["dataset", "backbone", "strategies", "integer", "optional", "choice", "rates", "cut"]
PREFIX = "compare."
AUTOMATIC = "automatic"
USUAL_RATES = (1e-4, *DEFAULT_GRID, 3e-2, 1e-1)


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


CONTROLS: dict[str, Control] = {
    "source": Control(
        "Source task", "What the network learned first. Its weights are what can be reused.", "dataset", True
    ),
    "target": Control(
        "Target task", "The new task, with few labelled images. All accuracies are measured on it.", "dataset", True
    ),
    "strategies": Control(
        "Strategies",
        "Each is one arm of the comparison, trained on the same images with the same steps. From scratch is what "
        "transfer has to beat.",
        "strategies",
        True,
    ),
    "labels_per_class": Control(
        "Labels per class",
        "Labelled target images that every arm may use. Transfer promises most when they are few.",
        "integer",
        True,
    ),
    "seeds": Control(
        "Seeds",
        "Repetitions, each with its own labelled images, first weights and batch order. Without at least two there is "
        "no interval; three are the least to conclude from.",
        "integer",
        True,
    ),
    "steps": Control(
        "Training steps", "Optimiser steps of every arm: all get the same budget.", "integer", True, step=50
    ),
    "backbone": Control("Network", "The network without its output layer, the same for source and target.", "backbone"),
    "cut": Control("Cut point", "How many first stages “Fine-tune the last stage” holds frozen.", "cut"),
    "batch_size": Control("Batch size", "Images an optimiser step looks at.", "integer", step=8),
    "learning_rate": Control(
        "Learning rate",
        "Automatic: each arm tries the rates below on its validation part and keeps the best, so that no strategy is "
        "handicapped by a rate that suits another.",
        "optional",
        start=1e-3,
    ),
    "learning_rates": Control(
        "Rates to choose from", "Every arm chooses from the same ones. Fewer are quicker.", "rates"
    ),
    "augmentation": Control("Augmentation", "Random changes to the training images, the same for every arm.", "choice"),
    "precision": Control("Number format", "Automatic takes what was measured faster on this machine.", "choice"),
    "seconds": Control(
        "Time limit an arm (s)", "Ends an arm's final training after so many seconds.", "optional", start=60.0, step=10
    ),
    "first_seed": Control(
        "First seed", "The repetitions count from here. Another number repeats everything with other luck.", "integer"
    ),
}
_FEW_SEEDS = {
    1: "One seed shows what can happen and leaves open whether it was luck: there will be no interval and no verdict.",
    2: "Two seeds give intervals so wide that hardly any difference is clear: three or more are worth the wait.",
}
CHOICES = {
    "none": "None",
    "shift": "Shift",
    "shift_flip": "Shift and mirror",
    "auto": "Automatic",
    "float32": "float32",
    "mixed_bfloat16": "mixed bfloat16",
}


def fill(experiment: Experiment) -> None:
    """Set every control to an experiment's values; call it before `draw` in the same run.

    Args:
        experiment: The values.
    """
    state = st.session_state
    for field, control in CONTROLS.items():
        key, value = PREFIX + field, getattr(experiment, field)
        if control.kind == "strategies":
            state[PREFIX + "order"] = value
            state[key] = [name for name in value if STRATEGIES[name].kind != "control"]
            state[key + ".control"] = [name for name in value if STRATEGIES[name].kind == "control"]
        elif control.kind == "optional":
            state[key + ".auto"] = value is None
            state[key] = control.start if value is None else value
        elif control.kind == "cut":
            state[key] = AUTOMATIC if value is None else value
        elif control.kind == "rates":
            state[key] = list(value)
            state[key + ".options"] = sorted({*USUAL_RATES, *value})
        else:
            state[key] = value


def is_filled() -> bool:
    """Whether the controls have values; Streamlit forgets them when another page is opened."""
    return PREFIX + "source" in st.session_state and PREFIX + "order" in st.session_state


def draw() -> tuple[Experiment | None, str]:
    """Draw the controls and read them.

    Returns:
        The experiment and an empty string, or None and what has to be changed before anything can run.
    """
    values: dict[str, Any] = {}
    left, right = st.columns(2)
    with left:
        values["source"] = _widget("source", values)
    with right:
        values["target"] = _widget("target", values)
    values["strategies"] = _widget("strategies", values)
    numbers = [field for field, control in CONTROLS.items() if control.main and control.kind == "integer"]
    for column, field in zip(st.columns(len(numbers)), numbers, strict=True):
        with column:
            values[field] = _widget(field, values)
    rest = [field for field, control in CONTROLS.items() if not control.main]
    with st.expander("More settings", icon=":material/tune:", key=PREFIX + "more"):
        columns = st.columns(3)
        for place, field in enumerate(rest):
            with columns[place % 3]:
                values[field] = _widget(field, values)
    if values["seeds"] < 3:
        st.caption(f":material/info: {_FEW_SEEDS[values['seeds']]}")
    for field in ("source", "target"):
        if availability(values[field]) is None:
            st.caption(f":material/cloud_download: {_absent(field, values[field])}")
    try:
        return Experiment.of(**values), ""
    except UserError as error:
        text = str(error)
        return None, text[:1].upper() + text[1:]


@st.cache_data(ttl=60, show_spinner=False)
def availability(dataset: str) -> str | None:
    """Where a dataset is on this host, or None if it would have to be downloaded; looked up once a minute."""
    return DATASETS[dataset].looks()


def _absent(field: str, dataset: str) -> str:
    title = DATASETS[dataset].title
    if field == "source":
        return f"{title} is not on this machine: an already trained source model is used, else the data are downloaded."
    return f"{title} is not on this machine: a run downloads it first, and says so if it cannot."


def _dataset_title(name: str) -> str:
    spec = DATASETS[name]
    return spec.title + (" · generated" if spec.kind == "generated" else "")


def _strategy_title(name: str) -> str:
    return STRATEGIES[name].title


def _widget(field: str, before: dict[str, Any]) -> Any:
    """Draw one control and return its value, in the form that `Experiment` takes."""
    control, key = CONTROLS[field], PREFIX + field
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
