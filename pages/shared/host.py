"""Who is here, and what goes wrong in plain words."""

from __future__ import annotations

import re
import uuid
from collections.abc import Generator
from contextlib import contextmanager

import streamlit as st

from tlcore.data import own
from tlcore.errors import UserError

COOKIE = "tl_owner"


def owner() -> str:
    """Name of the browser that looks at the page, to tell its runs from others'.

    Returns:
        The cookie that the app's middleware sets; where there is none, a name kept for this session.
    """
    cookie: object = st.context.cookies.get(COOKIE)
    if isinstance(cookie, str) and re.fullmatch(r"[0-9a-f]{32}", cookie):
        return cookie
    if COOKIE not in st.session_state:
        st.session_state[COOKIE] = uuid.uuid4().hex
    return st.session_state[COOKIE]


def may_see_pictures(target: str) -> bool:
    """Whether who looks at the page may see the pictures of a target: own ones only the browser that added them."""
    return own.may_see(target, owner())


def is_dark() -> bool:
    """Whether the page is shown in dark colours."""
    return st.context.theme.type == "dark"


@contextmanager
def plain_errors() -> Generator[None]:
    """Show what a person can put right as one line, in place of a traceback."""
    try:
        yield
    except UserError as error:
        st.error(sentence(error), icon=":material/error:")
        st.stop()


def sentence(problem: UserError | str) -> str:
    """A message as a page shows it: with a capital letter and a full stop."""
    text = str(problem)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "`")) else ".")
