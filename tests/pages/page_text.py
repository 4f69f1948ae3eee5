"""What a page says, and its address."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

ME = "m" * 32
"""Whose browser the tests look through."""


def everything(at: AppTest) -> str:
    """Every text that a page shows, alternative texts of charts left out."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success", "code")
    said = (str(element.value) for kind in kinds for element in at.get(kind))
    return "\n".join(words for words in said if "](data:image/" not in words)


def address(at: AppTest) -> dict[str, str]:
    """The query parameters of the address bar."""
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}
