"""What can be taken along of a comparison."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.charts import fold
from pages.shared.host import may_see_pictures
from tlcore import kept_weights
from tlcore.errors import UserError
from tlcore.export.files import KINDS, File, file_of, file_of_arm, name_of, record_of
from tlcore.export.made import find_made, make
from tlcore.results import Comparison
from tlcore.views import title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.experiment import Experiment, RunRecord
    from tlcore.export.files import Kind


def show_export(records: Sequence[RunRecord], experiment: Experiment, key: str, *, recorded: bool = False) -> None:
    """Offer a comparison as files.

    Args:
        records: Its records; at least one.
        experiment: What was asked for.
        key: Prefix of the widgets' keys.
        recorded: Whether the records come with the project.
    """
    comparison = Comparison(experiment, tuple(records))
    pictures = may_see_pictures(experiment.target)
    st.markdown("##### Take it with you")
    with st.container(horizontal=True):
        for kind in KINDS.values():
            if kind.of == "comparison":
                st.download_button(
                    kind.title,
                    # Written when it is asked for: a report has 5 MB.
                    lambda kind=kind: file_of(comparison, kind, recorded=recorded, pictures=pictures).content,
                    f"{experiment.source}-to-{experiment.target}{kind.ending}",
                    kind.mime,
                    key=f"{key}-{kind.name}",
                    help=kind.sentence,
                    icon=":material/download:",
                    on_click="ignore",
                )
    fold(
        "A strategy as code or as a model",
        f"{key}-arms",
        partial(_show_arm, comparison, key),
        icon=":material/deployed_code:",
    )


def _show_arm(comparison: Comparison, key: str) -> None:
    strategies = list(dict.fromkeys(record.strategy for record in comparison.records))
    strategy = st.pills(
        "Strategy",
        strategies,
        format_func=title_of,
        default=strategies[min(1, len(strategies) - 1)],
        required=True,
        key=f"{key}-export-arm",
    )
    record = record_of(comparison, strategy)
    name = f"{key}-{record.strategy}"
    st.caption(f"Seed {record.seed}, which ended at {100 * record.test_accuracy:.1f} % on the test images.")
    _show_code(record, name)
    st.markdown(
        "**The trained model**, from pictures as they are (values from 0 to 255) to probabilities. It needs nothing of "
        "this project: what is done to a picture before is part of it."
    )
    _show_models(record, name)


def _show_code(record: RunRecord, name: str) -> None:
    kinds = [kind for kind in KINDS.values() if kind.of == "arm" and not kind.model]
    try:
        files = {kind.name: file_of_arm(record, kind) for kind in kinds}
    except UserError as error:
        st.info(str(error), icon=":material/code_off:")
        return
    with st.container(horizontal=True):
        for kind in kinds:
            _offer(files[kind.name], kind, name)


def _show_models(record: RunRecord, name: str) -> None:
    """Every kind of model: to be downloaded where it was made before, else to be made."""
    missing = not kept_weights.has(record)
    wanted: Kind | None = None
    with st.container(horizontal=True):
        for kind in (kind for kind in KINDS.values() if kind.model):
            if (made := find_made(record, kind)) is not None:
                _offer(made, kind, name)
            elif st.button(
                f"{'Train again and make' if missing else 'Make'} {kind.title} ({kind.ending})",
                help=kind.sentence,
                icon=":material/manufacturing:",
                key=f"{name}-make-{kind.name}",
            ):
                wanted = kind
    if missing:
        st.caption(
            "The weights of this arm are not kept on this machine any more (it keeps those of the newest runs, of each "
            "the first seed's). It can be trained again for the file, which may end a picture or two elsewhere."
        )
    if wanted is not None:
        _make(record, wanted, again=missing)


def _make(record: RunRecord, kind: Kind, *, again: bool) -> None:
    what = "Training the arm again, then making" if again else "Making"
    with st.spinner(f"{what} {name_of(record, kind)}; a minute or so", show_time=True):
        try:
            make(record, kind, again=again)
        except UserError as error:
            st.error(f"{error}", icon=":material/error:")
            return
    st.rerun()


def _offer(file: File, kind: Kind, name: str) -> None:
    st.download_button(
        f"{kind.title} ({kind.ending})",
        file.content,
        file.name,
        kind.mime,
        key=f"{name}-{kind.name}",
        help=kind.sentence,
        icon=":material/download:",
        on_click="ignore",
    )
