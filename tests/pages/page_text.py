"""All words of a page."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def everything(at: AppTest) -> str:
    """Every text that a page shows, alternative texts of charts left out."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success", "code")
    return "\n".join(str(element.value) for kind in kinds for element in at.get(kind))
