"""Recorded figures as pictures, drawn ahead by ``make drawings``: nobody waits for Plotly's four megabytes to see them.

A picture belongs to its figure by name: the place on the page and a digest of all that is drawn. A figure that was
recorded anew, or that is drawn in another way, finds no picture and is drawn by Plotly in the browser.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import string
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import plotly.graph_objects as go

FOLDER = Path(os.environ.get("TLCORE_DRAWINGS") or Path(__file__).parents[2] / "data" / "drawings")
WIDTHS = {"wide": 1280, "phone": 390}
"""Widths of the windows that they are drawn in, in pixels."""
DENSITY = 2  # of the pictures' pixels, for sharp letters on good screens
STYLE = """
[data-testid="stElementContainer"]:has(img[src$="#phone"]) { display: none }
@media (max-width: 640px) {
  [data-testid="stElementContainer"]:has(img[src$="#wide"]) { display: none }
  [data-testid="stElementContainer"]:has(img[src$="#phone"]) { display: flex }
}
"""
"""How one of the two is chosen; 640 pixels is where Streamlit puts columns below each other."""


def name_of(key: str, figure: go.Figure) -> str:
    """Name of a figure's pictures.

    Args:
        key: Where it stands on the pages.
        figure: The figure, in the colours of the page.

    Returns:
        The name: equal for what looks equal, whatever the version of Plotly.
    """
    drawn: dict[str, Any] = figure.to_plotly_json()
    layout = {name: value for name, value in drawn["layout"].items() if name != "template"}
    content = json.dumps(_plain(drawn | {"layout": layout}), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return f"{key.replace('_', '-')}-{digest}"


def _plain(value: Any) -> Any:
    """What is drawn as JSON, with four digits of every number: more are not seen, and differ between processors."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return value if isinstance(value, bool | int | str | None) else str(value)


class Drawing(NamedTuple):
    """A figure as a picture for windows of one kind."""

    markdown: str
    """The picture, with what it shows for those who cannot see it."""
    width: int
    """In CSS pixels."""


@lru_cache(maxsize=300)
def drawing(name: str, alt: str) -> list[Drawing]:
    """A figure as pictures, for wide windows and for telephones; a window shows one of them (`STYLE`).

    As Markdown, which Streamlit's page draws in its first step: any other element is drawn a third of a second later.

    Args:
        name: What `name_of` says.
        alt: What it shows, for those who cannot see it.

    Returns:
        Both, or none where they are not both here.
    """
    try:
        pictures = {look: (FOLDER / f"{name}-{look}.webp").read_bytes() for look in WIDTHS}
    except OSError:
        return []
    return [_drawing(look, content, alt) for look, content in pictures.items()]


def _drawing(look: str, content: bytes, alt: str) -> Drawing:
    words = re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", " ".join(alt.split()))
    address = f"data:image/webp;base64,{base64.b64encode(content).decode()}#{look}"
    return Drawing(f"![{words}]({address})", Image.open(io.BytesIO(content)).width // DENSITY)
