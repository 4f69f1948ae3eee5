"""Recorded figures as pictures, drawn ahead by ``make drawings``: nobody waits for Plotly's four megabytes to see them.

A picture belongs to its figure by name: the place on the page and a digest of all that is drawn. A figure that was
recorded anew, or that is drawn in another way, finds no picture and is drawn by Plotly in the browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import plotly.graph_objects as go

FOLDER = Path(os.environ.get("TLCORE_DRAWINGS") or Path(__file__).parents[2] / "data" / "drawings")
WIDTHS = {"wide": 1280, "phone": 390}
"""Widths of the windows that they are drawn in, in pixels."""
DENSITY = 2  # of the pictures' pixels, for sharp letters on good screens
STYLE = """
.drawing { height: auto; max-width: 100% }
.drawing-phone { display: none }
@media (max-width: 640px) { .drawing-wide { display: none } .drawing-phone { display: block } }
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


@lru_cache(maxsize=300)
def drawing(name: str, alt: str) -> str | None:
    """A figure as HTML, for wide windows and for telephones.

    Args:
        name: What `name_of` says.
        alt: What it shows, for those who cannot see it.

    Returns:
        The pictures, one of which a window shows, or None where they are not both here.
    """
    try:
        pictures = {look: (FOLDER / f"{name}-{look}.webp").read_bytes() for look in WIDTHS}
    except OSError:
        return None
    return "".join(_tag(look, content, alt) for look, content in pictures.items())


def _tag(look: str, content: bytes, alt: str) -> str:
    width, height = (side // DENSITY for side in Image.open(io.BytesIO(content)).size)
    source = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    size = f'width="{width}" height="{height}"'
    return f'<img class="drawing drawing-{look}" src="{source}" {size} alt="{html.escape(alt)}">'
