"""The controls of an `Experiment`: one table of labels and helps, everything else from the registries."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared.host import sentence
from pages.shared.pair_panel import choose_pair, show_similarity
from pages.shared.widgets import AUTOMATIC, GROUPS, PREFIX, Control, draw_widget
from tlcore.data.external import EXTERNAL
from tlcore.data.registry import DATASETS
from tlcore.errors import UserError
from tlcore.experiment import DEFAULT_GRID, Experiment

USUAL_RATES = (1e-4, *DEFAULT_GRID, 3e-2, 1e-1)
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
    "cut": Control(
        "Cut point",
        "How many first stages “Fine-tune the last stage” holds frozen, and the strategies that copy stages copy.",
        "cut",
    ),
    "unfreeze_at": Control(
        "Unfreeze after",
        "Share of the steps after which “Probe, then fine-tune” and “fastai's recipe” unfreeze the backbone.",
        "optional",
        start=0.5,
        step=0.05,
        automatic="as each strategy does it",
    ),
    "source_images": Control(
        "Source images",
        "How many images the source model learns from. Fewer than all are trained on first, which takes a while.",
        "optional",
        start=1000,
        step=1000,
        automatic="all of them",
        sources="here",
    ),
    "normalization": Control(
        "Batch normalisation",
        "What its layers do where a stage is trained. The small networks have none; Residual net (batch norm) and the "
        "ImageNet networks have.",
        "choice",
    ),
    "image_size": Control(
        "Image size (px)",
        "Side of the pictures that the network sees. Larger ones take longer.",
        "optional",
        start=96,
        step=32,
        automatic="the network's own",
        sources="published",
    ),
    "weights": Control(
        "Weights file",
        "Name of a file with this network's weights, in a folder of this host that TLCORE_DATA_DIR names. Leave it "
        "empty for the published ones.",
        "text",
        sources="published",
    ),
    "batch_size": Control("Batch size", "Images an optimiser step looks at.", "integer", step=8),
    "learning_rate": Control(
        "Learning rate",
        "Automatic: each arm tries the rates below on its validation part and keeps the best, so that no strategy is "
        "handicapped by a rate that suits another.",
        "optional",
        start=1e-3,
        step=1e-3,
        automatic="choose it for every arm",
    ),
    "learning_rates": Control(
        "Rates to choose from", "Every arm chooses from the same ones. Fewer are quicker.", "rates"
    ),
    "augmentation": Control("Augmentation", "Random changes to the training images, the same for every arm.", "choice"),
    "precision": Control("Number format", "Automatic takes what was measured faster on this machine.", "choice"),
    "seconds": Control(
        "Time limit an arm (s)",
        "Ends an arm's final training after so many seconds.",
        "optional",
        start=60.0,
        step=10,
        automatic="no limit",
    ),
    "first_seed": Control(
        "First seed", "The repetitions count from here. Another number repeats everything with other luck.", "integer"
    ),
}
_FEW_SEEDS = {
    1: "One seed shows what can happen and leaves open whether it was luck: there will be no interval and no verdict.",
    2: "Two seeds give intervals so wide that hardly any difference is clear: three or more are worth the wait.",
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
            for group in GROUPS:
                state[key + group.suffix] = [name for name in value if name in group.names]
        elif control.kind == "optional":
            state[key + ".auto"] = value is None
            state[key] = control.start if value is None else value
        elif control.kind == "text":
            state[key] = value or ""
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

    def add(field: str) -> None:
        values[field] = draw_widget(field, CONTROLS[field], values)

    for column, field in zip(st.columns(2), ("source", "target"), strict=True):
        with column:
            add(field)
    with st.container(horizontal=True, vertical_alignment="center"):
        choose_pair()
        show_similarity(values["source"], values["target"])
    add("strategies")
    numbers = [field for field, control in CONTROLS.items() if control.main and control.kind == "integer"]
    for column, field in zip(st.columns(len(numbers)), numbers, strict=True):
        with column:
            add(field)
    where = "published" if values["source"] in EXTERNAL else "here"
    rest = [field for field, control in CONTROLS.items() if not control.main and control.sources in ("", where)]
    with st.expander("More settings", icon=":material/tune:", key=PREFIX + "more"):
        columns = st.columns(3)
        for place, field in enumerate(rest):
            with columns[place % 3]:
                add(field)
    if values["seeds"] < 3:
        st.caption(f":material/info: {_FEW_SEEDS[values['seeds']]}")
    for field in ("source", "target"):
        if values[field] in DATASETS and availability(values[field]) is None:
            st.caption(f":material/cloud_download: {_absent(field, values[field])}")
    try:
        return Experiment.of(**values), ""
    except UserError as error:
        return None, sentence(error)


@st.cache_data(ttl=60, show_spinner=False)
def availability(dataset: str) -> str | None:
    """Where a dataset is on this host, or None if it would have to be downloaded; looked up once a minute."""
    return DATASETS[dataset].looks()


def _absent(field: str, dataset: str) -> str:
    title = DATASETS[dataset].title
    if field == "source":
        return f"{title} is not on this machine: an already trained source model is used, else the data are downloaded."
    return f"{title} is not on this machine: a run downloads it first, and says so if it cannot."
