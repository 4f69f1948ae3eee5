"""Pictures in which something has to be found: a digit somewhere, of some size, among strokes and noise.

The digits are real ones that somebody wrote (UCI), the scenes are drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tlcore.data import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 56
INK = 90
"""A pixel this bright belongs to the digit."""
SIZES = (20, 36)
STROKES = 6


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes with what is to be found in them.

    Args:
        images: uint8, shape (n, `SIDE`, `SIDE`, 1).
        masks: Which pixels belong to the digit, bool, shape (n, `SIDE`, `SIDE`).
        boxes: Left, top, right and lower edge of those pixels as shares of the side, float32, shape (n, 4).
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.float32]


def draw_scenes(count: int, seed: int, *, test: bool = False) -> Scenes:
    """Draw scenes; those for testing hold other digits than those to learn from.

    Args:
        count: How many.
        seed: Seed of the draw, at least 0.
        test: Whether they are for testing.

    Returns:
        The scenes.
    """
    digits = load("uci_digits")
    objects = digits.x_test if test else digits.x_train
    rng = np.random.default_rng([seed, int(test), 9])
    images = np.zeros((count, SIDE, SIDE, 1), dtype=np.uint8)
    masks = np.zeros((count, SIDE, SIDE), dtype=np.bool_)
    boxes = np.zeros((count, 4), dtype=np.float32)
    for at in range(count):
        picture = objects[rng.integers(len(objects)), ..., 0]
        images[at, ..., 0], masks[at] = _scene(picture, rng)
        rows, columns = (np.flatnonzero(masks[at].any(axis=axis)) for axis in (1, 0))
        boxes[at] = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / SIDE
    return Scenes(images, masks, boxes)


def written(answer: NDArray[np.bool_] | NDArray[np.float32]) -> str:
    """An answer as text: a mask's bits in hexadecimal digits, a box's edges as numbers.

    Args:
        answer: A mask of shape (`SIDE`, `SIDE`) or a box of shape (4,).

    Returns:
        The text; `read_mask` and `read_box` read it.
    """
    if answer.dtype == np.bool_:
        return np.packbits(answer.astype(np.uint8)).tobytes().hex()
    return " ".join(f"{edge:.4f}" for edge in answer)


def read_mask(text: str) -> NDArray[np.bool_]:
    """Read what `written` made of a mask: shape (`SIDE`, `SIDE`)."""
    bits = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    return np.unpackbits(bits)[: SIDE * SIDE].reshape(SIDE, SIDE).astype(np.bool_)


def read_box(text: str) -> tuple[float, float, float, float]:
    """Read what `written` made of a box: left, top, right and lower edge as shares of the side."""
    left, top, right, low = (float(part) for part in text.split())
    return left, top, right, low


def _scene(digit: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A digit somewhere on a ground with strokes as bright and as thick as its own."""
    ground = Image.new("L", (SIDE, SIDE), 0)
    pen = ImageDraw.Draw(ground)
    for _ in range(STROKES):
        start = rng.uniform(0, SIDE, 2)
        turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(6, 16)
        end = start + length * np.array([np.cos(turn), np.sin(turn)])
        pen.line([*start, *end], fill=int(rng.integers(120, 256)), width=int(rng.integers(2, 5)))
    soft = np.asarray(ground.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float64)
    size = int(rng.integers(*SIZES))
    small = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)
    top, left = rng.integers(0, SIDE - size + 1, 2)
    placed = np.zeros((SIDE, SIDE))
    placed[top : top + size, left : left + size] = small
    mask = placed > INK
    # What lies behind the digit is hidden, with a rim: strokes that touch it would be part of it for anybody.
    rim = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    scene = np.where(rim, placed, np.maximum(soft, placed)) + rng.normal(0, 12, (SIDE, SIDE))
    return np.clip(scene, 0, 255).astype(np.uint8), mask
