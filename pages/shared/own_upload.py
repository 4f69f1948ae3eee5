"""Adding pictures: a folder, a zip, class by class, or the camera; all of them end as one upload."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

import streamlit as st

from pages.shared.charts import fold
from pages.shared.host import sentence
from tlcore.data.own import kept
from tlcore.data.own.adding import LEAST_PICTURES
from tlcore.data.own.apart import add_upload
from tlcore.data.own.names import clean
from tlcore.data.own.pictures import MOST_BYTES, SUFFIXES
from tlcore.data.own.reading import FEWEST_CLASSES, MOST_CLASSES, class_name
from tlcore.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlcore.data.own.adding import Added

    Files = list[tuple[str, IO[bytes]]]

FOLDER, ZIP, BY_CLASS = "A folder", "A zip file", "Class by class, or camera"
SHOWN_SET = "set"
ADDED = "own_added"
_ROUND, _SHOTS = "own_round", "own_shots"
_PICTURE_MB = MOST_BYTES // 1_000_000
_TYPES = [suffix.removeprefix(".") for suffix in SUFFIXES]


def privacy() -> str:
    """What happens to the pictures, in words."""
    days = kept.days_kept()
    last = datetime.now(UTC) + timedelta(days=days)
    return (
        "The pictures stay on the computer that runs this page. This browser alone can use them; whoever is given the "
        "link of a run sees its numbers, without the pictures. They are kept as "
        f"{kept.SIDE}×{kept.SIDE} pixels, the originals are not. What you add today is deleted after {days:g} days, "
        f"on {last:%d %B %Y}, or at once when you press Delete, and with it all that was measured on it."
    )


def draw(owner: str) -> None:
    """Draw the ways to add pictures.

    Args:
        owner: Whose they will be.
    """
    way = st.segmented_control("Where are they?", [FOLDER, ZIP, BY_CLASS], default=FOLDER, required=True, key="own-way")
    # A new round has new widgets: what was uploaded in the last one leaves the server's memory.
    turn = st.session_state.setdefault(_ROUND, 0)
    upload: IO[bytes] | Files | None = None
    match way:
        case "A folder":
            upload = _folder(turn) or None
        case "A zip file":
            upload = st.file_uploader(
                "A zip in which each class has a folder of its own", type="zip", key=f"own-zip-{turn}"
            )
        case _:
            upload = _by_class(turn) or None
    title = st.text_input("Name of the set", "My pictures", max_chars=60, key="own-title")
    if st.button(
        "Add these pictures", type="primary", icon=":material/add:", key="own-submit", disabled=upload is None
    ):
        assert upload is not None
        _add(upload, owner, title)


def show_report() -> None:
    """Say what became of the files that were added last."""
    added: Added | None = st.session_state.get(ADDED)
    if added is None:
        return
    total = sum(added.own_set.counts)
    st.success(f"{total:,} pictures were added to “{added.own_set.title}”.", icon=":material/check_circle:")
    if lines := added.report.sentences():
        st.info("\n".join(f"- {line}" for line in lines), icon=":material/info:")


def _add(upload: IO[bytes] | Files, owner: str, title: str) -> None:
    bar = st.progress(0.0, text="Reading the pictures")

    def show(done: int, of: int) -> None:
        if done % max(1, of // 50) == 0:
            bar.progress(done / of, text=f"{done:,} of {of:,} pictures read")

    try:
        added = add_upload(upload, owner, title, show)
    except UserError as error:
        bar.empty()
        st.error(sentence(error), icon=":material/block:")
        return
    st.session_state[ADDED] = added
    st.session_state[_ROUND] += 1
    st.session_state.pop(_SHOTS, None)
    st.query_params[SHOWN_SET] = added.own_set.id
    st.rerun()


def _folder(turn: int) -> Files:
    files = st.file_uploader(
        "A folder in which each class has a folder of its own",
        type=_TYPES,
        accept_multiple_files="directory",
        key=f"own-folder-{turn}",
        max_upload_size=_PICTURE_MB,
        help="For instance `leaves/oak/…` and `leaves/birch/…`. Other files are left out.",
    )
    return _named((file.name, file) for file in files)


def _by_class(turn: int) -> Files:
    count = st.number_input("Number of classes", FEWEST_CLASSES, MOST_CLASSES, 2, key="own-classes")
    columns = st.columns(2, gap="large")
    titles: list[str] = []
    files: Files = []
    for number in range(int(count)):
        with columns[number % 2], st.container(border=True):
            titles.append(
                st.text_input(
                    f"Name of class {number + 1}", f"class {number + 1}", max_chars=60, key=f"own-name-{number}"
                )
            )
            chosen = st.file_uploader(
                f"Pictures of class {number + 1}",
                type=_TYPES,
                accept_multiple_files=True,
                key=f"own-files-{turn}-{number}",
                max_upload_size=_PICTURE_MB,
            )
            mine = [(file.name, file) for file in chosen] + _shots(number)
            files += _in_class(titles[-1], number, mine)
            more = max(0, LEAST_PICTURES - len(mine))
            st.caption(
                f"{len(mine)} picture{'' if len(mine) == 1 else 's'}" + (f", {more} more are needed" if more else "")
            )
    fold(
        "Take pictures with the camera",
        "own-camera",
        lambda: _camera(titles, turn),
        icon=":material/photo_camera:",
    )
    return files


def _camera(titles: Sequence[str], turn: int) -> None:
    st.caption("Browsers open the camera on https pages and on this computer only.")
    number = st.segmented_control(
        "The next picture is of",
        list(range(len(titles))),
        format_func=lambda at: clean(titles[int(at)]) or f"class {at + 1}",
        default=0,
        required=True,
        key="own-camera-class",
    )
    key = f"own-shot-{turn}"

    def keep() -> None:
        shot: Any = st.session_state.get(key)
        if shot is not None:
            shots = st.session_state.setdefault(_SHOTS, {})
            shots.setdefault(number, []).append(shot.getvalue())

    st.camera_input("Picture", key=key, on_change=keep, resolution="480p")


def _shots(number: int) -> Files:
    shots: list[bytes] = st.session_state.get(_SHOTS, {}).get(number, [])
    return [(f"camera-{at}.jpg", io.BytesIO(shot)) for at, shot in enumerate(shots, start=1)]


def _in_class(title: str, number: int, files: Files) -> Files:
    try:
        folder = class_name(title)
    except UserError as error:
        st.error(sentence(error), icon=":material/block:")
        folder = f"class {number + 1}"
    return _named((f"{folder}/{name.replace('/', ' ')}", content) for name, content in files)


def _named(files: Any) -> Files:
    return [(name, content) for name, content in files]
