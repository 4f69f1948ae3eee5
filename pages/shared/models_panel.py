"""The networks with published weights: what each is and costs, whether it is here, and how to get it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.host import sentence
from tlcore.costs import COSTS, Cost, Costs
from tlcore.errors import UserError
from tlcore.experiment import Experiment, fits
from tlcore.models import download
from tlcore.models.registry import BACKBONES, Backbone
from tlcore.models.weights import find_weights, own_folder
from tlcore.presets import PRESETS

if TYPE_CHECKING:
    from pathlib import Path

LOOK_SECONDS = 1.0
ROW = 2
ORDERS: dict[str, Callable[[Backbone, Cost | None], float]] = {
    "Most accurate": lambda backbone, _: -(backbone.application.top1 if backbone.application else 0),
    "Fastest": lambda _, cost: -cost.images_per_second if cost else 0,
    "Smallest": lambda _, cost: cost.weights_bytes if cost else 0,
}


def show_models() -> None:
    """Every network with published weights, in the order that is asked for."""
    networks = [backbone for backbone in BACKBONES.values() if backbone.application is not None]
    here = {backbone.name: find_weights(backbone) for backbone in networks}
    costs = _costs()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.segmented_control("Order", list(ORDERS), default="Most accurate", required=True, key="models-order")
        only_here = st.toggle("Only what is on this host", key="models-here")
    found = sum(path is not None for path in here.values())
    st.caption(f"The weights of {found} of {len(networks)} networks are on this host.")
    networks.sort(key=lambda backbone: ORDERS[order](backbone, costs.get(backbone.name)))
    shown = [backbone for backbone in networks if here[backbone.name] or not only_here]
    if not shown:
        st.info(
            f"None is here yet. Download one, or put its file into `{own_folder()}` or a folder that `TLCORE_DATA_DIR` "
            "names; switch the filter off to see what each file is called.",
            icon=":material/search_off:",
        )
    for row in range(0, len(shown), ROW):
        for column, backbone in zip(st.columns(ROW), shown[row : row + ROW], strict=False):
            with column.container(border=True, height="stretch"):
                _show(backbone, costs.get(backbone.name), here[backbone.name])


def _costs() -> dict[str, Cost]:
    try:
        return {cost.backbone: cost for cost in Costs.read(COSTS).costs}
    except UserError:  # the costs panel says how to measure them
        return {}


def _show(backbone: Backbone, cost: Cost | None, path: Path | None) -> None:
    application = backbone.application
    assert application is not None  # `show_models` shows no others
    badge = (
        ":green-badge[:material/check_circle: here]" if path else ":orange-badge[:material/cloud_download: not here]"
    )
    st.markdown(f"#### {backbone.title} {badge}")
    st.markdown(f"{backbone.sentence} *{backbone.paper}.*")
    facts = [f"**{100 * application.top1:.1f} %** top-1 on ImageNet ({application.top1_source})"]
    if cost is not None:
        facts += [
            f"**{cost.parameters / 1e6:,.1f} million** parameters",
            f"**{cost.weights_bytes / 1e6:,.0f} MB** file",
            f"**{cost.feature_width:,}** features",
            f"**{cost.memory_bytes / 1e6:,.0f} MB** of memory for a batch",
            f"**{cost.images_per_second:,.0f}** images a second at {cost.input_shape[0]} pixels",
        ]
    st.markdown(" · ".join((*facts, f"licence {application.licence}")))
    if path is not None:
        st.caption(f":material/folder: {path.name}, in {path.parent}")
        if st.button("Use it", icon=":material/science:", key=f"use-{backbone.name}"):
            st.switch_page("compare.py", query_params=experiment_with(backbone).to_query())
        return
    watched = download.progress(backbone)
    # Polled only while something changes; a fragment, so that the page stays as it is meanwhile.
    running = watched is not None and watched.state == "running"
    st.fragment(run_every=LOOK_SECONDS if running else None)(_download)(backbone, running)


def _download(backbone: Backbone, was_running: bool) -> None:
    """What is missing, and the way to it."""
    watched = download.progress(backbone)
    if was_running and (watched is None or watched.state != "running"):
        st.rerun()  # it has ended: the whole page says so, and stops to ask
    if watched is not None and watched.state == "running":
        total = f" of {watched.total / 1e6:,.0f}" if watched.total else ""
        st.progress(watched.share, f"Downloading: {watched.done / 1e6:,.1f}{total} MB")
        if st.button("Stop", icon=":material/stop:", key=f"stop-{backbone.name}"):
            download.stop(backbone)
            st.rerun()
        return
    if watched is not None and watched.state == "failed":
        st.error(sentence(watched.message), icon=":material/error:")
    kept = watched is not None and watched.done > 0
    if watched is not None and watched.state == "stopped":
        st.caption(f"Stopped; {watched.done / 1e6:,.1f} MB are kept, and the next download goes on there.")
    with st.container(horizontal=True):
        words = "Download the rest" if kept else "Download"
        if st.button(words, icon=":material/download:", key=f"download-{backbone.name}"):
            download.start(backbone)
            st.rerun()
        with st.popover("Which file goes where", icon=":material/folder:"):
            st.markdown("Without a network on this host, get this file elsewhere:")
            st.code(download.address_of(backbone), language=None, wrap_lines=True)
            st.markdown("and put it, under its own name, into this folder, or one that `TLCORE_DATA_DIR` names:")
            st.code(str(own_folder()), language=None, wrap_lines=True)


def experiment_with(backbone: Backbone) -> Experiment:
    """What the Compare page starts with for a network: the recorded comparison, without the arms that take minutes.

    Args:
        backbone: A network with published weights, or one of the host's own.

    Returns:
        The experiment, with pictures of the size that suits the network and the arms that it can have.
    """
    arms = ("feature_extraction", "random_features", "pixel_baseline")
    own = {
        "backbone": backbone.name,
        "source": backbone.external_source,
        "image_size": None,
        "strategies": tuple(name for name in arms if fits(name, backbone, None)),
    }
    return Experiment.of(**PRESETS["imagenet"].given | own)
