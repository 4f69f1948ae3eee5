"""Two image datasets that are drawn, not downloaded: handwritten-looking digits and garments.

Both are there without a network, on any machine, in any amount. They have the format of MNIST and Fashion-MNIST
(28x28, grey, light on dark, the same ten classes in the same order), so that whatever is learnt on one can be
carried to another; every picture is drawn from skeletons and measures written down here and owes nothing to a
font or to somebody's photographs.

A picture depends on the seed, its class and its index within the class, and on nothing else: a larger set begins
with the smaller one. They are made to be hard for a linear model on pixels (pose, thickness, texture and ground
vary on purpose) and easy for a convolutional one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bytes = NDArray[np.uint8]
    Point = tuple[float, float]
    Path = Sequence[Point]

VERSION: int = 1
"""Raised whenever the pictures change, so that copies kept on disk are not taken for the new ones."""

DIGIT_CLASSES: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

GARMENT_CLASSES: tuple[str, ...] = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_SIDE = 28  # pixels along one side of a picture
_FINE = 4  # garments are drawn this many times larger and then averaged down
_NEUTRAL = 128  # grey level of the tone map that leaves a fabric as it is
_NEGATIVES = 0.04  # share of pictures that are dark on light
_DIGITS, _GARMENTS = 0, 1  # first word of the random key: the two sets share no random numbers


def draw_digits(per_class: int, seed: int) -> tuple[Bytes, Bytes]:
    """Draw handwritten-looking digits.

    Args:
        per_class: Pictures of each class, at least 1.
        seed: Which pictures, at least 0. The same seed gives the same pictures, and the first ones of a larger set
            are those of a smaller set.

    Returns:
        Images ``(10 * per_class, 28, 28)``, grey levels 0-255, and labels ``(10 * per_class,)``, which index
        `DIGIT_CLASSES` and run 0, 1, ... 9, 0, 1, ...

    Raises:
        ValueError: `per_class` or `seed` is too small.
    """
    return _draw(per_class, seed, _DIGITS, _digit)


def draw_garments(per_class: int, seed: int) -> tuple[Bytes, Bytes]:
    """Draw garments, shoes and bags.

    Args:
        per_class: Pictures of each class, at least 1.
        seed: Which pictures, at least 0. The same seed gives the same pictures, and the first ones of a larger set
            are those of a smaller set.

    Returns:
        Images ``(10 * per_class, 28, 28)``, grey levels 0-255, and labels ``(10 * per_class,)``, which index
        `GARMENT_CLASSES` and run 0, 1, ... 9, 0, 1, ...

    Raises:
        ValueError: `per_class` or `seed` is too small.
    """
    return _draw(per_class, seed, _GARMENTS, _garment)


def _draw(
    per_class: int, seed: int, family: int, draw: Callable[[int, np.random.Generator], Floats]
) -> tuple[Bytes, Bytes]:
    """Draw a set, each picture from a random generator of its own.

    Args:
        per_class: Pictures of each class, at least 1.
        seed: At least 0.
        family: `_DIGITS` or `_GARMENTS`.
        draw: Makes the picture ``(28, 28)`` of a class, any real values.

    Returns:
        Images and labels, classes interleaved.

    Raises:
        ValueError: `per_class` or `seed` is too small.
    """
    if per_class < 1:
        raise ValueError(f"per_class is {per_class}: ask for at least 1 picture of each class")
    if seed < 0:
        raise ValueError(f"seed is {seed}: give a whole number that is 0 or larger")
    classes = 10
    images = np.empty((per_class, classes, _SIDE, _SIDE), dtype=np.uint8)
    for index in range(per_class):
        for label in range(classes):
            picture = draw(label, np.random.default_rng([seed, family, label, index]))
            images[index, label] = np.clip(np.rint(picture), 0, 255)
    labels = np.tile(np.arange(classes, dtype=np.uint8), per_class)
    return images.reshape(-1, _SIDE, _SIDE), labels


# --- curves -----------------------------------------------------------------------------------------------------


def _spline(corners: Sequence[bool], closed: bool, steps: Sequence[int]) -> Floats:
    """Express points on a Catmull-Rom curve as weighted sums of its control points.

    The curve is linear in its control points, so that one product draws every jittered copy of a shape.

    Args:
        corners: For each control point, whether the curve breaks there instead of passing smoothly.
        closed: Whether the last point runs on to the first.
        steps: Points to put on each segment, at least 1; as many as there are segments.

    Returns:
        Weights ``(sum(steps) + 1, len(corners))``; every row sums to 1. Without the last row where `closed`.
    """
    count = len(corners)
    rows: list[Floats] = []
    for segment, number in enumerate(steps):
        start, end = segment, (segment + 1) % count
        before = None if corners[start] or (start == 0 and not closed) else (start - 1) % count
        after = None if corners[end] or (end == count - 1 and not closed) else (end + 1) % count
        last = segment == len(steps) - 1 and not closed
        t = np.arange(number + last) / number
        near, far = -0.5 * t + t**2 - 0.5 * t**3, -0.5 * t**2 + 0.5 * t**3
        block = np.zeros((len(t), count))
        block[:, start] += 1 - 2.5 * t**2 + 1.5 * t**3
        block[:, end] += 0.5 * t + 2 * t**2 - 1.5 * t**3
        # A missing neighbour is replaced by the mirror image of the other one: the curve leaves straight.
        for weight, beyond, here, there in ((near, before, start, end), (far, after, end, start)):
            if beyond is None:
                block[:, here] += 2 * weight
                block[:, there] -= weight
            else:
                block[:, beyond] += weight
        rows.append(block)
    return np.concatenate(rows)


@cache
def _outline(count: int, smooth: bool, closed: bool) -> Floats:
    """Weights of an evenly sampled curve through `count` control points, as `_spline` gives them.

    Args:
        count: Control points.
        smooth: Whether it is a curve; otherwise a polygon, sampled all the same so that it can bend.
        closed: Whether the last point runs on to the first.

    Returns:
        Weights ``(samples, count)``.
    """
    return _spline([not smooth] * count, closed, [5] * (count if closed else count - 1))


# --- pose and ground, common to both sets -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Pose:
    """Where a shape lies in the picture and how it is bent.

    Args:
        matrix: Shape units to pixels ``(2, 2)``, for row vectors.
        shift: Centre in pixels ``(2,)``.
        waves: Wave vectors of the bending ``(2, n)``, radians per shape unit.
        phases: Phases ``(n,)``.
        swing: Displacement by each wave ``(n, 2)``, shape units.
    """

    matrix: Floats
    shift: Floats
    waves: Floats
    phases: Floats
    swing: Floats

    def __call__(self, points: Floats) -> Floats:
        """Carry points ``(n, 2)`` from shape units to pixels; x runs right, y runs down."""
        bent = points + np.sin(points @ self.waves + self.phases) @ self.swing
        return bent @ self.matrix + self.shift


def _pose(
    rng: np.random.Generator,
    *,
    unit: float,
    turn: float,
    slant: float,
    bend: float,
    drift: float,
    mirror: bool = False,
) -> _Pose:
    """Draw a random pose.

    Args:
        rng: Source of chance.
        unit: Pixels per shape unit.
        turn: Rotation in radians.
        slant: Shear: how far x moves for each unit of y.
        bend: Size of the smooth bending, shape units.
        drift: Largest displacement from the centre, pixels.
        mirror: Whether left and right are exchanged.

    Returns:
        The pose.
    """
    cos, sin = math.cos(turn), math.sin(turn)
    stretch = math.exp(rng.normal(0.0, 0.07))
    shape = np.array([[(-stretch if mirror else stretch), 0.0], [slant, 1 / stretch]])
    return _Pose(
        matrix=shape @ np.array([[cos, sin], [-sin, cos]]) * unit,
        shift=_SIDE / 2 + rng.uniform(-drift, drift, 2),
        waves=rng.normal(0.0, 1.8, (2, 3)),
        phases=rng.uniform(0.0, 2 * math.pi, 3),
        swing=rng.normal(0.0, bend, (3, 2)),
    )


_CENTRES = np.arange(_SIDE) + 0.5
_ACROSS, _DOWN = np.meshgrid(_CENTRES, _CENTRES)


def _cover(points: Floats, radii: Floats) -> Floats:
    """Ink a row of discs, which make a stroke where they are less than a radius apart.

    Args:
        points: Centres ``(n, 2)`` in pixels.
        radii: Radii ``(n,)`` in pixels.

    Returns:
        The part of each pixel that is inked ``(28, 28)``, in [0, 1].
    """
    # Half a pixel is the width of the soft edge. Single precision is plenty for 255 levels and twice as fast.
    across = np.square(points[:, :1] - _CENTRES, dtype=np.float32, casting="same_kind")
    down = np.square(points[:, 1:] - _CENTRES, dtype=np.float32, casting="same_kind")
    depth = np.sqrt(down[:, :, None] + across[:, None, :])
    np.subtract(radii.astype(np.float32)[:, None, None], depth, out=depth)
    return np.clip(depth.max(axis=0) + 0.5, 0.0, 1.0).astype(np.float64)


@cache
def _spread(cells: int) -> Floats:
    """Weights ``(28, cells)`` that spread `cells` random values smoothly along one side of a picture."""
    place = np.linspace(0.0, cells - 1.0, _SIDE)
    reach = np.clip(1.0 - np.abs(place[:, None] - np.arange(cells)), 0.0, 1.0)
    return reach * reach * (3.0 - 2.0 * reach)


def _clouds(rng: np.random.Generator, cells: int) -> Floats:
    """Smooth random field ``(28, 28)``, about in [-2, 2], with `cells` bumps along a side."""
    side = _spread(cells)
    return side @ rng.normal(0.0, 1.0, (cells, cells)) @ side.T


def _stripes(angle: float, period: float, phase: float, *, hard: bool) -> Floats:
    """Stripes ``(28, 28)`` in [-1, 1].

    Args:
        angle: Direction across the stripes in radians, 0 is along x.
        period: Pixels from stripe to stripe.
        phase: Where they begin, in radians.
        hard: Whether their edges are crisp.

    Returns:
        The field.
    """
    along = (_ACROSS * math.cos(angle) + _DOWN * math.sin(angle)) * (2 * math.pi / period)
    wave = np.sin(along + phase)
    return np.clip(wave * 3.0, -1.0, 1.0) if hard else wave


def _ground(rng: np.random.Generator, clean: float) -> Floats:
    """Draw what lies behind an object.

    Args:
        rng: Source of chance.
        clean: Share of pictures with a black ground, in [0, 1].

    Returns:
        Grey levels ``(28, 28)``, mostly below 90.
    """
    if rng.random() < clean:
        return np.zeros((_SIDE, _SIDE))
    ground = np.full((_SIDE, _SIDE), rng.uniform(4.0, 45.0))
    kind = rng.integers(4)
    if kind == 0:
        ground += rng.uniform(5.0, 14.0) * _clouds(rng, int(rng.integers(3, 8)))
    elif kind == 1:
        angle, period, phase = rng.uniform(0.0, [math.pi, 1.0, 2 * math.pi])
        ground += rng.uniform(4.0, 15.0) * _stripes(angle, 3.0 + 9.0 * period, phase, hard=rng.random() < 0.3)
    elif kind == 2:
        slope = rng.normal(0.0, 1.2, 2)
        ground += (_ACROSS - _SIDE / 2) * slope[0] + (_DOWN - _SIDE / 2) * slope[1]
    for _ in range(int(rng.integers(0, 3))):
        ground = _clutter(rng, ground)
    return np.clip(ground, 0.0, 110.0)


def _clutter(rng: np.random.Generator, ground: Floats) -> Floats:
    """Lay a faint stray stroke or blob over a ground.

    Args:
        rng: Source of chance.
        ground: Grey levels ``(28, 28)``.

    Returns:
        Grey levels ``(28, 28)``.
    """
    if rng.random() < 0.65:
        ends = rng.uniform(-2.0, _SIDE + 2.0, (2, 2))
        middle = ends.mean(axis=0) + rng.normal(0.0, 4.0, 2)
        points = _stray() @ np.stack([ends[0], middle, ends[1]])
        ink = _cover(points, np.full(len(points), rng.uniform(0.4, 1.2)))
    else:
        offset = (np.stack([_ACROSS, _DOWN]) - rng.uniform(0.0, _SIDE, (2, 1, 1))) / rng.uniform(1.5, 4.5, (2, 1, 1))
        ink = np.clip(1.5 - np.square(offset).sum(axis=0), 0.0, 1.0)
    return ground + ink * rng.uniform(18.0, 55.0)


@cache
def _stray() -> Floats:
    """Weights ``(49, 3)`` of a stray stroke through three points."""
    return _spline([False] * 3, False, [24, 24])


def _develop(rng: np.random.Generator, picture: Floats, grain: float) -> Floats:
    """Blur a picture, turn a few into negatives and add noise, as a camera and a copier would.

    Args:
        rng: Source of chance.
        picture: Grey levels ``(28, 28)``.
        grain: Standard deviation of the noise in the worst pictures, grey levels.

    Returns:
        Values ``(28, 28)``, not yet clipped to 0-255.
    """
    side = rng.uniform(-0.12, 0.2)
    if side > 0:  # a three-tap kernel, once down and once across
        padded = np.pad(picture, 1, mode="edge")
        rows = padded[1:-1] * (1 - 2 * side) + (padded[:-2] + padded[2:]) * side
        picture = rows[:, 1:-1] * (1 - 2 * side) + (rows[:, :-2] + rows[:, 2:]) * side
    if rng.random() < _NEGATIVES:
        picture = rng.uniform(215.0, 255.0) - 0.85 * picture
    # Most pictures are nearly clean, like the sets they stand for; some are very grainy.
    grain *= rng.random() ** 2
    picture = picture + rng.normal(0.0, 1.0, picture.shape) * grain
    if rng.random() < 0.12:
        specks = rng.integers(0, _SIDE, (2, int(rng.integers(2, 9))))
        picture[specks[0], specks[1]] = rng.uniform(0.0, 200.0, specks.shape[1])
    return picture


# --- digits -----------------------------------------------------------------------------------------------------

# Every way of writing a digit. Slashes divide strokes; a stroke lists points that a smooth curve passes through, in
# hundredths of half the digit's height, x to the right and y down from the centre. An exclamation mark makes a corner,
# a stroke that ends where it began is a smooth loop, and strokes that name the same point stay joined there.
_WRITING: tuple[tuple[str, ...], ...] = (
    (  # 0: round, narrow, begun with a hook, left open at the top
        "0,-100 -42,-72 -58,0 -42,72 0,100 42,72 58,0 42,-72 0,-100",
        "0,-100 -30,-60 -36,10 -20,80 8,100 32,60 36,-20 22,-80 0,-100",
        "30,-90 -12,-100 -50,-50 -55,20 -25,88 18,92 52,40 52,-30 20,-85 -12,-72",
        "-5,-98 -45,-55 -56,10 -36,80 5,100 45,70 56,5 42,-60 12,-92",
    ),
    (  # 1: bare, bare and slanted, with a flag, with a flag and a foot, with the long upstroke of continental Europe
        "0,-100 2,0 0,100",
        "22,-100 0,0 -20,100",
        "-22,-60 8,-100! 6,0 8,100",
        "-26,-62 5,-100! 5,0 5,100 / -42,100 5,100 50,100",
        "-44,-14 -10,-58 22,-100! 20,0 20,100",
    ),
    (  # 2: straight foot, looped foot, wavy foot, swan-necked with a wide foot
        "-50,-55 -32,-90 10,-100 48,-65 36,-15 -8,42 -55,95! 0,95 55,95",
        "-48,-60 -10,-100 42,-72 30,-5 -8,55 -42,95 -62,74 -36,58 6,82 60,92",
        "-45,-72 -5,-100 42,-70 28,-10 -12,45 -50,90! -15,76 22,96 58,82",
        "-30,-45 -38,-82 0,-100 36,-72 26,-20 -10,40 -60,98! 5,90 66,98",
    ),
    (  # 3: two bowls, flat top, a small loop in the waist, drawn in one smooth go
        "-50,-72 -10,-100 40,-78 36,-30 -10,-6! 38,10 52,50 20,94 -25,96 -55,70",
        "-48,-95 0,-95 46,-95! 20,-58 -6,-20! 40,0 50,48 15,93 -25,95 -52,74",
        "-45,-78 0,-100 42,-68 22,-22 -10,-2 -24,-12 -8,-20 30,8 46,55 10,96 -50,80",
        "-40,-86 5,-100 40,-66 20,-20 -2,-4 30,14 44,55 10,95 -45,86",
    ),
    (  # 4: open, closed, open and round like a y, closed with a short stem
        "-36,-90 -42,-40 -50,12! 0,10 58,10 / 22,-92 20,0 18,100",
        "26,100 26,0 28,-100! -16,-32 -60,34! 0,34 60,34",
        "-42,-95 -52,-40 -36,0 0,6 38,-8 / 46,-95 38,-8 28,100",
        "12,-100 -20,-36 -55,28! 0,28 60,26 / 24,-30 22,30 20,100",
    ),
    (  # 5: in one go, with the hat put on afterwards, round as an S, with a long hat
        "50,-95 10,-95 -36,-95! -40,-50 -44,-10! 0,-26 42,0 48,50 10,94 -50,76",
        "-30,-85 -34,-50 -40,-12! 0,-22 40,10 38,62 0,96 -48,82 / -26,-95 10,-98 55,-100",
        "46,-92 0,-98 -38,-84 -42,-40! -2,-30 38,6 36,62 -2,96 -50,86",
        "66,-100 20,-94 -20,-92! -30,-50 -36,-14! 10,-20 36,16 28,68 -10,96 -42,94",
    ),
    (  # 6: wide, straight-backed, curled at the top, with a small bowl
        "38,-94 -10,-64 -46,-5 -46,60 -10,98 36,82 46,40 12,6 -36,36",
        "8,-100 -22,-40 -42,20 -38,74 -2,98 34,78 34,34 0,16 -38,50",
        "46,-74 16,-100 -26,-64 -48,5 -36,74 4,100 42,74 36,26 0,10 -40,40",
        "-5,-100 -32,-40 -44,20 -36,74 -2,96 30,80 30,50 0,38 -36,60",
    ),
    (  # 7: plain, barred, with a serif, curved, with a serif and a bar
        "-50,-92 0,-92 50,-92! 20,0 -10,100",
        "-50,-92 0,-94 52,-94! 20,0 -8,100 / -28,4 20,0 50,-4",
        "-50,-56 -50,-94! 0,-94 52,-94! 16,0 -2,100",
        "-55,-76 -20,-96 14,-86 52,-95! 14,-15 -6,100",
        "-50,-60 -48,-95! 0,-92 52,-96! 16,2 -12,100 / -22,6 16,2 46,-2",
    ),
    (  # 8: crossed in one go, two rings, begun at the top right and left open, with a small head
        "0,-100 -38,-66 -20,-28 22,12 48,56 0,100 -48,56 -22,12 20,-28 38,-66 0,-100",
        "0,-100 -38,-56 0,-10 38,-56 0,-100 / 0,-10 -48,44 0,100 48,44 0,-10",
        "50,-84 2,-100 -40,-68 -12,-20 34,26 36,78 -8,100 -44,66 -20,16 18,-22 46,-62",
        "0,-96 -28,-72 -14,-40 26,4 50,54 0,100 -50,54 -26,4 14,-40 28,-72 0,-96",
    ),
    (  # 9: straight stem, hooked tail, ring and stem apart, leaning with a short tail
        "42,-64 6,-98 -40,-70 -36,-24 4,-10 42,-64! 42,20 38,100",
        "40,-76 2,-100 -40,-70 -34,-22 6,-12 42,-50! 44,10 30,70 -6,98 -46,80",
        "36,-60 0,-96 -40,-56 -2,-12 36,-60 / 42,-90 40,0 30,100",
        "30,-92 -16,-90 -40,-50 -10,-16 30,-44 40,-88! 26,0 2,100",
    ),
)

_STEP = 0.06  # shape units between neighbouring discs of a stroke: well below a radius at every size


@dataclass(frozen=True)
class _Style:
    """One way of writing a digit, ready to be drawn.

    Args:
        points: Control points ``(n, 2)``, each once.
        weights: Places of the discs as weighted sums of the points ``(discs, n)``.
        travel: How far the pen has come at each disc ``(discs,)``, shape units.
    """

    points: Floats
    weights: Floats
    travel: Floats


@cache
def _styles(label: int) -> tuple[_Style, ...]:
    """Ways of writing a digit, from `_WRITING`."""
    return tuple(_style(text) for text in _WRITING[label])


def _style(text: str) -> _Style:
    """Read a way of writing a digit.

    Args:
        text: An entry of `_WRITING`.

    Returns:
        The style.
    """
    known: dict[str, int] = {}
    strokes: list[tuple[list[int], list[bool], bool]] = []
    for stroke in text.split(" / "):
        names = stroke.split()
        closed = names[0] == names[-1]
        names = names[:-1] if closed else names
        corners = [name.endswith("!") for name in names]
        strokes.append(([known.setdefault(name.rstrip("!"), len(known)) for name in names], corners, closed))
    points = np.array([[float(part) / 100 for part in name.split(",")] for name in known])
    blocks: list[Floats] = []
    for members, corners, closed in strokes:
        ends = points[[*members, members[0]] if closed else members]
        lengths = np.hypot(*np.diff(ends, axis=0).T)
        local = _spline(corners, closed, [math.ceil(length / _STEP) for length in lengths])
        block = np.zeros((len(local), len(points)))
        block[:, members] = local
        blocks.append(block)
    weights = np.concatenate(blocks)
    return _Style(points, weights, np.arange(len(weights), dtype=np.float64) * _STEP)


def _digit(label: int, rng: np.random.Generator) -> Floats:
    """Draw a digit.

    Args:
        label: Index into `DIGIT_CLASSES`.
        rng: Source of chance.

    Returns:
        Values ``(28, 28)``, about 0-255.
    """
    styles = _styles(label)
    style = styles[int(rng.integers(len(styles)))]
    hand = rng.uniform(0.02, 0.075)  # how shaky the writing is
    unit = rng.uniform(8.5, 11.0)
    pose = _pose(
        rng,
        unit=unit,
        turn=rng.uniform(-0.25, 0.25),
        slant=rng.uniform(-0.42, 0.16),
        bend=rng.uniform(0.02, 0.07),
        drift=1.9,
    )
    wide = np.array([math.exp(rng.normal(0.0, 0.1)), 1.0])
    shaken = style.points * wide + rng.normal(0.0, hand, style.points.shape)
    places = pose(style.weights @ shaken)

    radius = max(0.85, unit * rng.uniform(0.08, 0.165))
    pressure = 1.0 + rng.uniform(0.0, 0.22) * np.sin(style.travel * rng.uniform(0.5, 2.2) + rng.uniform(0.0, 6.3))
    places = _inside(places, radius + 0.5)
    ink = _cover(places, radius * pressure)
    if rng.random() < 0.25:  # a dry pen: the stroke lets the ground through here and there
        ink *= np.clip(0.9 + 0.18 * _clouds(rng, 9), 0.35, 1.0)
    level = 255.0 - 110.0 * rng.random() ** 2
    ground = _ground(rng, clean=0.4)
    return _develop(rng, ground + ink * (level - ground), grain=18.0)


def _inside(points: Floats, margin: float) -> Floats:
    """Move points that stick out of the picture back into it, all together.

    Args:
        points: Pixels ``(n, 2)``.
        margin: Pixels to keep free at every edge.

    Returns:
        The points, moved as a whole; what is too large for the picture is centred.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    least, most = margin - low, _SIDE - margin - high
    move: Floats = np.minimum(np.maximum(least, 0.0), np.maximum(most, least))
    return points + np.where(least > most, (least + most) / 2, move)


# --- garments ---------------------------------------------------------------------------------------------------

# Shape units: the picture is about 2 wide and 2 high, x to the right and y down from its centre. Shoes have the toe
# on the left, as in Fashion-MNIST, before some of them are mirrored.


class _Cloth:
    """What a garment is cut from: its silhouette and a map of lighter and darker parts."""

    def __init__(self, pose: _Pose) -> None:
        """Start with nothing.

        Args:
            pose: Carries shape units to pixels.
        """
        size = (_SIDE * _FINE, _SIDE * _FINE)
        self._pose = pose
        self._mask = Image.new("L", size, 0)
        self._tone = Image.new("L", size, _NEUTRAL)
        self._on_mask = ImageDraw.Draw(self._mask)
        self._on_tone = ImageDraw.Draw(self._tone)

    def fill(self, path: Path, *, smooth: bool = False, tone: float = 1.0) -> None:
        """Add an area.

        Args:
            path: Outline.
            smooth: Whether the outline is a curve through the points, not a polygon.
            tone: Brightness relative to the fabric, in [0, 2).
        """
        outline = self._place(path, smooth=smooth, closed=True)
        self._on_mask.polygon(outline, fill=255)
        self._on_tone.polygon(outline, fill=_grey(tone))

    def cut(self, path: Path, *, smooth: bool = False) -> None:
        """Take an area away: the ground shows.

        Args:
            path: Outline.
            smooth: Whether the outline is a curve through the points, not a polygon.
        """
        self._on_mask.polygon(self._place(path, smooth=smooth, closed=True), fill=0)

    def shade(self, path: Path, tone: float, *, smooth: bool = False) -> None:
        """Make an area lighter or darker, where there is fabric.

        Args:
            path: Outline.
            tone: Brightness relative to the fabric, in [0, 2).
            smooth: Whether the outline is a curve through the points, not a polygon.
        """
        self._on_tone.polygon(self._place(path, smooth=smooth, closed=True), fill=_grey(tone))

    def line(self, path: Path, width: float, tone: float, *, smooth: bool = False) -> None:
        """Draw a seam, a lace or a fold, where there is fabric.

        Args:
            path: Points on it.
            width: Pixels.
            tone: Brightness relative to the fabric, in [0, 2).
            smooth: Whether the line is a curve through the points.
        """
        places = self._place(path, smooth=smooth, closed=False)
        # Too thin for rounded joints to be seen, and those take most of the time of a line.
        self._on_tone.line(places, fill=_grey(tone), width=max(1, round(width * _FINE)))

    def strap(self, path: Path, width: float, *, smooth: bool = True, tone: float = 1.0) -> None:
        """Add a strap, a handle or a heel.

        Args:
            path: Points on it.
            width: Pixels.
            smooth: Whether it is a curve through the points.
            tone: Brightness relative to the fabric, in [0, 2).
        """
        places = self._place(path, smooth=smooth, closed=False)
        wide = max(1, round(width * _FINE))
        self._on_mask.line(places, fill=255, width=wide, joint="curve")
        self._on_tone.line(places, fill=_grey(tone), width=wide, joint="curve")

    def dots(self, path: Path, radius: float, tone: float) -> None:
        """Put buttons or eyelets on the fabric.

        Args:
            path: Their centres.
            radius: Pixels.
            tone: Brightness relative to the fabric, in [0, 2).
        """
        reach = radius * _FINE
        for x, y in self._place(path, smooth=None, closed=False):
            self._on_tone.ellipse((x - reach, y - reach, x + reach, y + reach), fill=_grey(tone))

    def finish(self) -> tuple[Floats, Floats]:
        """Average the drawing down to the size of a picture.

        Returns:
            How far each pixel is covered, in [0, 1], and its brightness relative to the fabric, in [0, 2).
        """
        mask = np.asarray(self._mask.reduce(_FINE), dtype=np.float64) / 255
        tone = np.asarray(self._tone.reduce(_FINE), dtype=np.float64) / _NEUTRAL
        return mask, tone

    def _place(self, path: Path, *, smooth: bool | None, closed: bool) -> list[Point]:
        """Carry a path to the fine drawing; without `smooth` its points alone, otherwise what runs through them."""
        points = np.asarray(path, dtype=np.float64)
        if smooth is not None:
            points = _outline(len(points), smooth, closed) @ points
        return [(x, y) for x, y in (self._pose(points) * _FINE).tolist()]


def _grey(tone: float) -> int:
    """Grey level of a tone on the tone map."""
    return min(255, max(0, round(_NEUTRAL * tone)))


def _mirrored(half: Path) -> list[Point]:
    """Close the right half of a symmetrical outline, given from top to bottom, with its left half."""
    return [*half, *((-x, y) for x, y in reversed(half))]


def _contrast(rng: np.random.Generator) -> float:
    """Tone of a detail that is seen: clearly darker or clearly lighter than the fabric."""
    return rng.uniform(0.2, 0.6) if rng.random() < 0.6 else rng.uniform(1.4, 1.95)


@dataclass(frozen=True)
class _Top:
    """Measures of a garment for the upper body, shape units.

    Args:
        neck: Half width of the neckline.
        shoulder: Half width at the shoulders.
        chest: Half width under the arms.
        waist: Half width halfway down.
        hem: Half width at the bottom.
        top: y of the neckline.
        bottom: y of the hem.
        sleeve: Length of the sleeves; 0 for none.
        lift: How far the sleeves point away from straight down, radians.
        cuff: Half width of the sleeves at their end.
        hole: Height of the armhole.
    """

    neck: float
    shoulder: float
    chest: float
    waist: float
    hem: float
    top: float
    bottom: float
    sleeve: float
    lift: float
    cuff: float
    hole: float = 0.42


def _sew(cloth: _Cloth, rng: np.random.Generator, top: _Top) -> None:
    """Draw body and sleeves of a top.

    Args:
        cloth: What to draw on.
        rng: Source of chance.
        top: The measures.
    """
    drop = top.top + 0.13
    pit = drop + top.hole
    seam = rng.uniform(0.25, 0.7)
    body = [(top.neck, top.top), (top.shoulder, drop), (top.chest, pit), (top.waist, (pit + top.bottom) / 2)]
    curve = rng.uniform(-0.02, 0.06)  # hems hang lower or higher in the middle
    cloth.fill(_mirrored([*body, (top.hem, top.bottom), (top.hem / 3, top.bottom + curve)]))
    if top.sleeve == 0.0:
        return
    for side in (-1, 1):
        lift = top.lift + rng.normal(0.0, 0.05)
        along, across = (math.sin(lift), math.cos(lift)), (math.cos(lift), -math.sin(lift))
        x = (top.shoulder + top.chest) / 2 + top.sleeve * along[0]
        y = (drop + pit) / 2 + top.sleeve * along[1]
        outer = (side * (x + top.cuff * across[0]), y + top.cuff * across[1])
        inner = (side * (x - top.cuff * across[0]), y - top.cuff * across[1])
        cloth.fill([(side * (top.shoulder - 0.06), drop - 0.04), outer, inner, (side * top.chest, pit)])
        # Arms that hang beside the body are told from it by the shadow between them.
        cloth.line([(side * (top.shoulder - 0.03), drop + 0.1), (side * top.chest, pit), inner], 0.8, seam)
        if top.sleeve > 0.8 and rng.random() < 0.5:
            band = 0.12
            ends = [(ex - side * band * along[0], ey - band * along[1]) for ex, ey in (outer, inner)]
            cloth.line(ends, 0.7, _contrast(rng))


def _neckline(
    cloth: _Cloth, rng: np.random.Generator, width: float, top: float, depth: float, *, pointed: bool
) -> None:
    """Open the neck of a garment, seen through or with the inside of its back.

    Args:
        cloth: What to draw on.
        rng: Source of chance.
        width: Half width.
        top: y of the neckline.
        depth: How far down it goes.
        pointed: Whether it is a V.
    """
    lowest = [(0.0, top + depth)] if pointed else [(width * 0.62, top + depth * 0.8), (0.0, top + depth)]
    path = [(width, top - 0.08), *lowest, *[(-x, y) for x, y in lowest[-2::-1]], (-width, top - 0.08)]
    if rng.random() < 0.6:
        cloth.cut(path)
    else:
        cloth.shade(path, rng.uniform(0.25, 0.5))
    if rng.random() < 0.5:
        cloth.line(path, 0.8, _contrast(rng))


def _tshirt(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a T-shirt, or a top with broad straps; some carry a print."""
    top, bare = rng.uniform(-0.88, -0.72), rng.random() < 0.15
    chest = rng.uniform(0.44, 0.6)
    measures = _Top(
        neck=rng.uniform(0.17, 0.28),
        shoulder=chest * 0.72 if bare else chest + rng.uniform(0.0, 0.08),
        chest=chest,
        waist=chest * rng.uniform(0.84, 1.02),
        hem=chest * rng.uniform(0.9, 1.1),
        top=top,
        bottom=rng.uniform(0.55, 0.92),
        sleeve=0.0 if bare else rng.uniform(0.24, 0.46),
        lift=rng.uniform(0.7, 1.25),
        cuff=rng.uniform(0.16, 0.24),
    )
    _sew(cloth, rng, measures)
    _neckline(cloth, rng, measures.neck, top, rng.uniform(0.1, 0.38), pointed=rng.random() < 0.3)
    if rng.random() < 0.4:
        x, y, tone = rng.uniform(0.14, 0.3), rng.uniform(-0.2, 0.05), _contrast(rng)
        if rng.random() < 0.5:
            height = rng.uniform(0.12, 0.28)
            cloth.shade([(0, y - height), (x, y), (0, y + height), (-x, y)], tone, smooth=True)
        else:
            for row in range(int(rng.integers(1, 4))):
                cloth.line([(-x, y + 0.16 * row), (x * rng.uniform(0.3, 1.0), y + 0.16 * row)], 1.2, tone)


def _trouser(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw trousers: narrow, straight or flared."""
    top, bottom = rng.uniform(-0.98, -0.86), rng.uniform(0.72, 0.98)
    waist, crotch = rng.uniform(0.24, 0.36), top + rng.uniform(0.5, 0.68)
    hip = waist + rng.uniform(0.02, 0.1)
    spread = rng.uniform(0.05, 0.2)  # how far apart the legs stand
    knee, ankle = hip * rng.uniform(0.36, 0.48), hip * rng.uniform(0.28, 0.62)
    middle = (crotch + bottom) / 2
    inside = 0.04 + spread * 0.3
    for side in (-1, 1):
        outer = [(0, top), (waist, top), (hip, crotch - 0.12), (inside + spread / 2 + 2 * knee, middle)]
        feet = [(inside + spread + 2 * ankle, bottom), (inside + spread, bottom)]
        inner = [(inside + spread / 2, middle), (0.0, crotch)]
        cloth.fill([(side * x, y) for x, y in (*outer, *feet, *inner)])
        if rng.random() < 0.5:
            pocket = [(waist * 0.55, top + 0.12), (hip * 0.95, top + 0.34)]
            cloth.line([(side * x, y) for x, y in pocket], 0.7, rng.uniform(0.3, 0.7))
        if rng.random() < 0.3:  # a pressed crease
            crease = [(hip / 2, top + 0.3), (inside + spread + ankle, bottom)]
            cloth.line([(side * x, y) for x, y in crease], 0.6, rng.uniform(1.2, 1.5))
    if rng.random() < 0.7:
        cloth.line([(-waist, top + 0.1), (waist, top + 0.1)], 0.8, _contrast(rng))
    if rng.random() < 0.7:
        cloth.line([(0, top), (0, crotch)], 0.6, rng.uniform(0.3, 0.7))


def _pullover(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a pullover: long sleeves, no opening; many have ribbed ends, a high neck or a broad band."""
    top, chest = rng.uniform(-0.82, -0.68), rng.uniform(0.44, 0.58)
    measures = _Top(
        neck=rng.uniform(0.16, 0.24),
        shoulder=chest + rng.uniform(-0.06, 0.04),
        chest=chest,
        waist=chest * rng.uniform(0.92, 1.08),
        hem=chest * rng.uniform(0.84, 1.02),
        top=top,
        bottom=rng.uniform(0.55, 0.82),
        sleeve=rng.uniform(1.0, 1.3),
        lift=rng.uniform(0.12, 0.5),
        cuff=rng.uniform(0.09, 0.14),
    )
    _sew(cloth, rng, measures)
    bottom, hem, tone = measures.bottom, measures.hem, _contrast(rng)
    if rng.random() < 0.3:
        roll = [(measures.neck, top + 0.04), (measures.neck * 0.92, top - rng.uniform(0.14, 0.24))]
        cloth.fill(_mirrored(roll[::-1]), tone=rng.uniform(0.75, 1.2))
        cloth.line([(-measures.neck, top), (measures.neck, top)], 0.7, 0.5)
    else:
        _neckline(cloth, rng, measures.neck, top, rng.uniform(0.1, 0.32), pointed=rng.random() < 0.3)
    if rng.random() < 0.7:
        cloth.line([(-hem, bottom - 0.12), (hem, bottom - 0.12)], 0.8, tone)
    if rng.random() < 0.35:
        y, height = rng.uniform(-0.25, 0.3), rng.uniform(0.06, 0.2)
        cloth.shade(_mirrored([(chest, y - height), (chest, y + height)]), tone)


def _dress(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a dress: narrow waist, skirt from straight to wide, straps or sleeves."""
    top, bottom = rng.uniform(-0.98, -0.85), rng.uniform(0.7, 0.98)
    bust, waist = rng.uniform(0.24, 0.34), rng.uniform(0.18, 0.26)
    middle = rng.uniform(-0.32, -0.08)
    hem = rng.uniform(0.28, 0.62)
    neck, depth = bust * rng.uniform(0.45, 0.7), rng.uniform(0.12, 0.34)
    pit = top + 0.38
    hips = (waist + (hem - waist) * rng.uniform(0.45, 0.75), (middle + bottom) / 2)
    skirt = [(waist, middle), hips, (hem, bottom), (hem / 3, bottom + rng.uniform(0.0, 0.05))]
    kind = rng.random()
    if kind < 0.3:  # two thin straps over a straight bodice
        cloth.fill(_mirrored([(bust, pit - 0.06), *skirt]))
        for side in (-1, 1):
            cloth.strap([(side * bust * 0.75, pit), (side * neck, top)], rng.uniform(0.9, 1.6), smooth=False)
    else:
        cloth.fill(_mirrored([(neck, top), (bust * 0.98, top + 0.07), (bust, pit), *skirt]))
        if kind > 0.6:
            length, width = (
                (rng.uniform(0.2, 0.34) if kind < 0.85 else rng.uniform(0.7, 0.95)),
                rng.uniform(0.07, 0.1),
            )
            lift = rng.uniform(0.15, 0.6)
            for side in (-1, 1):
                x, y = bust + length * math.sin(lift), top + 0.22 + length * math.cos(lift)
                sleeve = [(bust * 0.85, top + 0.03), (x + width, y - width), (x - width, y), (bust, pit)]
                cloth.fill([(side * sx, sy) for sx, sy in sleeve])
                cloth.line([(side * bust, pit), (side * (x - width), y)], 0.6, 0.5)
        _neckline(cloth, rng, neck, top, depth, pointed=rng.random() < 0.4)
    if rng.random() < 0.55:
        height = rng.uniform(0.03, 0.07)
        cloth.shade(_mirrored([(waist * 1.2, middle - height), (waist * 1.2, middle + height)]), _contrast(rng))
    for _ in range(int(rng.integers(0, 4))):  # pleats
        x = rng.uniform(-0.8, 0.8)
        cloth.line([(waist * x, middle + 0.1), (hem * x, bottom)], 0.6, rng.uniform(0.55, 0.8))


def _coat(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a coat: long, open at the front, with lapels, buttons or a zip, pockets, now and then a belt or a hood."""
    top, chest = rng.uniform(-0.92, -0.82), rng.uniform(0.42, 0.54)
    measures = _Top(
        neck=rng.uniform(0.15, 0.22),
        shoulder=chest + rng.uniform(-0.04, 0.05),
        chest=chest,
        waist=chest * rng.uniform(0.88, 1.04),
        hem=chest * rng.uniform(1.0, 1.28),
        top=top,
        bottom=rng.uniform(0.84, 0.98),
        sleeve=rng.uniform(1.1, 1.4),
        lift=rng.uniform(0.1, 0.36),
        cuff=rng.uniform(0.1, 0.15),
    )
    if rng.random() < 0.2:  # the hood shows behind the shoulders
        cloth.fill(
            [(0.3, top + 0.1), (0.2, top - 0.14), (-0.2, top - 0.14), (-0.3, top + 0.1)],
            smooth=True,
            tone=0.7,
        )
    _sew(cloth, rng, measures)
    neck, bottom, dark = measures.neck, measures.bottom, rng.uniform(0.1, 0.4)
    meet = top + rng.uniform(0.35, 0.8)  # where the lapels meet
    cloth.shade([(neck * 0.8, top), (0.0, meet), (-neck * 0.8, top)], dark)
    for side in (-1, 1):
        lapel = [(neck * 0.7, top - 0.05), (neck + 0.14, top + 0.22), (neck * 0.95, top + 0.34), (0.0, meet)]
        cloth.shade([(side * x, y) for x, y in lapel], rng.uniform(1.15, 1.45))
        cloth.line([(side * x, y) for x, y in lapel[1:]], 0.6, dark)
        if rng.random() < 0.7:
            x, y, slope = chest * 0.38, rng.uniform(0.15, 0.4), rng.uniform(-0.08, 0.08)
            cloth.line([(side * x, y), (side * (x + 0.26), y + slope)], 0.9, dark + 0.1)
    if rng.random() < 0.3:  # worn open: what is beneath shows
        gap = rng.uniform(0.04, 0.1)
        cloth.shade([(0.0, meet), (gap, bottom + 0.1), (-gap, bottom + 0.1)], dark)
    else:
        cloth.line([(0.0, meet), (0.0, bottom + 0.05)], 0.9, dark)
    if rng.random() < 0.7:
        rows = [0.12] if rng.random() < 0.5 else [-0.16, 0.16]
        heights = np.linspace(meet + 0.1, bottom - 0.3, int(rng.integers(3, 5))).tolist()
        cloth.dots([(x, y) for x in rows for y in heights], 0.6, _contrast(rng))
    if rng.random() < 0.3:
        y, height = rng.uniform(-0.05, 0.12), rng.uniform(0.04, 0.07)
        cloth.shade(_mirrored([(chest * 0.98, y - height), (chest * 0.98, y + height)]), rng.uniform(0.3, 0.6))


def _shirt(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a shirt: collar, button band, long or short sleeves, many with a breast pocket."""
    top, chest, short = rng.uniform(-0.84, -0.72), rng.uniform(0.42, 0.56), rng.random() < 0.35
    measures = _Top(
        neck=rng.uniform(0.17, 0.23),
        shoulder=chest + rng.uniform(-0.02, 0.06),
        chest=chest,
        waist=chest * rng.uniform(0.84, 1.0),
        hem=chest * rng.uniform(0.88, 1.06),
        top=top,
        bottom=rng.uniform(0.62, 0.92),
        sleeve=rng.uniform(0.3, 0.46) if short else rng.uniform(1.0, 1.28),
        lift=rng.uniform(0.6, 1.0) if short else rng.uniform(0.12, 0.42),
        cuff=rng.uniform(0.15, 0.2) if short else rng.uniform(0.08, 0.12),
    )
    _sew(cloth, rng, measures)
    neck, bottom = measures.neck, measures.bottom
    if rng.random() < 0.6:  # rounded tails
        for side in (-1, 1):
            cloth.cut(
                [
                    (side * measures.hem * 0.7, bottom + 0.1),
                    (side * 0.9, bottom + 0.1),
                    (side * 0.9, bottom - 0.25),
                ]
            )
    open_to = top + rng.uniform(0.14, 0.34)
    cloth.shade([(neck * 0.9, top - 0.05), (0.0, open_to), (-neck * 0.9, top - 0.05)], rng.uniform(0.1, 0.35))
    edge, flap = rng.uniform(0.2, 0.5), rng.uniform(1.2, 1.6)
    for side in (-1, 1):
        collar = [
            (neck * 0.8, top - 0.1),
            (neck + 0.12, top + 0.04),
            (neck * 0.8, top + 0.24),
            (0.0, open_to),
        ]
        cloth.fill([(side * x, y) for x, y in collar], tone=flap)
        cloth.line([(side * x, y) for x, y in collar[1:]], 0.6, edge)
    band = rng.uniform(0.05, 0.09)
    cloth.shade(_mirrored([(band, open_to), (band, bottom + 0.04)]), rng.uniform(1.1, 1.4))
    for x in (-band, band) if rng.random() < 0.4 else (band,):
        cloth.line([(x, open_to), (x, bottom + 0.04)], 0.5, edge)
    heights = np.linspace(open_to + 0.12, bottom - 0.1, int(rng.integers(5, 8))).tolist()
    cloth.dots([(0.0, y) for y in heights], 0.5, rng.uniform(0.1, 0.35))
    for side in (-1, 1):
        if rng.random() < 0.45:
            x, y = side * rng.uniform(0.16, 0.2), rng.uniform(-0.3, -0.2)
            pocket = [(x, y), (x + side * 0.2, y), (x + side * 0.2, y + 0.24), (x, y + 0.24), (x, y)]
            cloth.line(pocket, 0.6, edge)


def _sandal(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a sandal from the side: a bare sole, flat, wedged or on a heel, and straps with air between them."""
    rise = rng.uniform(0.05, 0.7) if rng.random() < 0.65 else 0.05  # how much higher the heel is than the toe
    thick = rng.uniform(0.08, 0.16)
    floor = 0.3 + rise * 0.3
    ball, heel = floor - thick, floor - thick - rise
    sole_tone = rng.uniform(0.5, 1.5)
    foot = [
        (-0.92, ball - 0.02),
        (-0.4, ball),
        (0.1, (2 * ball + heel) / 3),
        (0.55, heel),
        (0.9, heel - 0.02),
    ]
    under = [(x, y + thick) for x, y in reversed(foot)]
    kind = rng.random()
    cloth.fill([*foot, *under], tone=sole_tone)
    if rise > 0.15:
        if kind < 0.4:
            cloth.fill(
                [(0.0, floor - thick), (0.55, heel), (0.9, heel), (0.86, floor), (-0.3, floor)],
                tone=sole_tone,
            )
        else:
            width = rng.uniform(0.04, 0.14)
            cloth.fill([(0.6, heel), (0.9, heel), (0.84, floor), (0.84 - width, floor)], tone=sole_tone)
    elif kind < 0.5:
        cloth.fill(
            [(-0.9, floor), (0.9, floor), (0.88, floor + 0.1), (-0.88, floor + 0.1)],
            tone=rng.uniform(0.5, 1.0),
        )
    wide, high = rng.uniform(1.5, 3.0), rng.uniform(0.2, 0.32)

    def instep(x: float) -> float:
        """Height of the sole at a place along it."""
        return float(np.interp(x, [p[0] for p in foot], [p[1] for p in foot]))

    # Straps over the toes, then over the instep, each a bow from one edge of the sole to the other.
    bows = [(-0.8, -0.36, high)]
    if rng.random() < 0.75:
        bows.append((rng.uniform(-0.55, -0.4), rng.uniform(-0.1, 0.15), high * 1.5))
    for start, end, height in bows:
        crown = ((start + end) / 2 + 0.04, min(instep(start), instep(end)) - height)
        bow = [(start, instep(start) + 0.03), ((start + crown[0]) / 2 - 0.06, (instep(start) + crown[1]) / 2)]
        cloth.strap([*bow, crown, (end, instep(end) + 0.03)], wide, tone=rng.uniform(0.8, 1.3))
    if rng.random() < 0.8:  # the ankle strap, held up behind the heel
        ankle = heel - rng.uniform(0.4, 0.62)
        cloth.strap([(0.88, heel), (0.9, (heel + ankle) / 2), (0.84, ankle)], wide * 0.9, tone=rng.uniform(0.8, 1.3))
        front = (rng.uniform(0.1, 0.3), ankle - rng.uniform(-0.06, 0.1))
        cloth.strap([(0.84, ankle), (0.56, ankle + 0.07), front], wide * 0.8)
        if rng.random() < 0.5:
            cloth.strap([front, (0.12, (ankle + instep(0.1)) / 2), (0.0, instep(0.0))], wide * 0.8)
        if rng.random() < 0.3:
            cloth.strap([front, (-0.1, instep(-0.2) - high), (-0.5, instep(-0.5))], wide * 0.8)


def _sneaker(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a sneaker from the side: low, closed, with a broad sole, laces and a mark on its flank."""
    floor, sole = rng.uniform(0.34, 0.48), rng.uniform(0.12, 0.22)
    base, collar = floor - sole, rng.uniform(-0.56, -0.34)
    toe = base - rng.uniform(0.2, 0.32)
    throat = rng.uniform(-0.1, 0.12)
    upper = [
        (-0.93, base),
        (-0.9, toe + 0.08),
        (-0.66, toe - 0.04),
        (-0.34, toe - 0.12),
        (throat - 0.06, collar + 0.08),
        (throat + 0.08, collar - 0.1),
        (throat + 0.26, collar + 0.06),
        (0.6, collar + rng.uniform(0.06, 0.16)),
        (0.84, collar - rng.uniform(0.0, 0.14)),
        (0.9, (collar + base) / 2),
        (0.93, base),
        (0.4, base + 0.04),
        (-0.4, base + 0.04),
    ]
    cloth.fill(upper, smooth=True)
    tone = _contrast(rng)
    bumper = [(-0.96, base - 0.02), (-0.4, base), (0.4, base), (0.95, base - 0.04), (0.95, floor - 0.03)]
    cloth.fill([*bumper, (0.85, floor), (-0.8, floor), (-0.94, floor - 0.06)], tone=rng.uniform(1.3, 1.9))
    cloth.line([(-0.95, base), (0.95, base)], 0.7, rng.uniform(0.2, 0.5))
    if rng.random() < 0.5:
        cloth.line([(-0.9, floor - 0.02), (0.9, floor - 0.02)], 0.9, 0.4)
    if rng.random() < 0.5:  # a cap over the toes
        cloth.line([(-0.6, toe - 0.04), (-0.52, toe + 0.1), (-0.56, base)], 0.7, tone, smooth=True)
    for step in np.linspace(0.1, 0.9, int(rng.integers(3, 6))).tolist():  # laces
        x, y = -0.36 + step * (throat + 0.26), toe - 0.1 + step * (collar + 0.1 - toe + 0.1)
        cloth.line([(x - 0.02, y - 0.02), (x + 0.15, y + 0.1)], 0.7, tone)
    kind = rng.random()
    low, high = base - 0.06, (collar + base) / 2 - 0.02
    if kind < 0.35:  # stripes across
        for x in np.linspace(0.0, 0.36, int(rng.integers(2, 4))).tolist():
            cloth.line([(x - 0.06, high - 0.02), (x + 0.1, low)], 1.0, tone)
    elif kind < 0.65:  # a sweep from heel to toe
        cloth.line([(-0.3, low - 0.1), (0.0, low), (0.72, high)], 1.3, tone, smooth=True)
    if rng.random() < 0.5:  # the counter around the heel
        cloth.shade([(0.62, base), (0.68, collar + 0.18), (0.95, collar), (1.0, base)], _contrast(rng))


def _bag(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw a bag: tote, handbag, clutch or shoulder bag."""
    wide, flare = rng.uniform(0.5, 0.88), rng.uniform(-0.14, 0.1)
    top, bottom = rng.uniform(-0.38, -0.02), rng.uniform(0.5, 0.86)
    neat, tone = rng.random() < 0.55, _contrast(rng)
    shape = [
        (wide + flare, top),
        (wide + flare / 2 + (0 if neat else 0.06), (top + bottom) / 2),
        (wide, bottom),
    ]
    strap, kind = rng.uniform(1.0, 2.4), rng.random()
    handle = rng.uniform(0.25, 0.55)
    peak = max(top - rng.uniform(0.32, 0.7), -0.95)
    if kind < 0.55:  # a handle to carry it by, or two
        for offset in (0.0, 0.07) if rng.random() < 0.4 else (0.0,):
            bow = [(handle, top + 0.05), (handle * 0.85, (top + peak) / 2), (0.0, peak - offset)]
            cloth.strap([*bow, *[(-x, y) for x, y in bow[-2::-1]]], strap, tone=rng.uniform(0.7, 1.2))
    elif kind < 0.85:  # a strap for the shoulder, from edge to edge
        edge = wide + flare - 0.06
        bow = [(edge, top + 0.05), (edge * 0.8, (top + peak) / 2), (edge * 0.3, peak)]
        cloth.strap([*bow, *[(-x, y) for x, y in bow[::-1]]], strap * 0.8, tone=rng.uniform(0.7, 1.2))
    cloth.fill(_mirrored([*shape, (wide * 0.6, bottom + 0.03)]), smooth=not neat)
    if rng.random() < 0.5:  # a flap with a clasp
        reach = top + (bottom - top) * rng.uniform(0.3, 0.65)
        edge = wide + flare * 0.8
        flap = [(edge, top), (edge * 0.95, reach - 0.12), (edge * 0.4, reach), (0.0, reach)]
        cloth.shade(_mirrored(flap[:-1]), rng.uniform(0.75, 1.25))
        cloth.line([*flap[1:], *[(-x, y) for x, y in flap[-2:0:-1]]], 0.8, rng.uniform(0.2, 0.5))
        cloth.dots([(0.0, reach - 0.02)], 1.1, tone)
    else:
        cloth.line([(-wide - flare, top + 0.1), (wide + flare, top + 0.1)], 0.8, tone)
    if rng.random() < 0.35:
        y = top + (bottom - top) * 0.5
        pocket = [(-wide * 0.5, y), (wide * 0.5, y), (wide * 0.5, bottom - 0.1), (-wide * 0.5, bottom - 0.1)]
        cloth.line([*pocket, pocket[0]], 0.7, rng.uniform(0.3, 0.6))


def _boot(cloth: _Cloth, rng: np.random.Generator) -> None:
    """Draw an ankle boot from the side: a shaft, a heel from flat to high, laces, a zip or an elastic panel."""
    floor, lift = rng.uniform(0.68, 0.86), rng.choice([0.06, 0.16, 0.34])
    top = rng.uniform(-0.92, -0.62)
    lift *= rng.uniform(0.8, 1.2)
    ball, heel, sole = floor - 0.08, floor - lift, rng.uniform(0.05, 0.12)
    front, back = rng.uniform(-0.1, 0.08), rng.uniform(0.66, 0.78)
    toe = ball - rng.uniform(0.2, 0.32)
    instep = toe - rng.uniform(0.22, 0.36)
    upper = [
        (-0.9, ball),
        (-0.88, toe + 0.12),
        (-0.62, toe),
        (front - 0.16, instep),
        (front, instep - 0.22),
        (front + rng.uniform(-0.06, 0.02), top),
        (back, top + rng.uniform(-0.08, 0.08)),
        (back - 0.02, (top + heel) / 2),
        (back + 0.1, heel - 0.16),
        (back + 0.06, heel),
        (0.2, (ball + heel) / 2 + 0.02),
        (-0.2, ball),
    ]
    cloth.fill(upper)
    sole_tone = _contrast(rng)
    under = [(-0.92, ball), (-0.2, ball), (0.2, (ball + heel) / 2), (back + 0.08, heel)]
    cloth.fill([*under, *[(x, y + sole) for x, y in reversed(under)]], tone=sole_tone)
    width = rng.uniform(0.1, 0.34)
    stand = [(back + 0.08, heel), (back + 0.05, floor + sole), (back + 0.02 - width, floor + sole)]
    cloth.fill([*stand, (back - max(width, 0.24), heel)], tone=sole_tone)
    tone, kind = _contrast(rng), rng.random()
    if kind < 0.4:
        for step in np.linspace(0.0, 1.0, int(rng.integers(4, 7))).tolist():
            y = instep + (top + 0.08 - instep) * step
            x = front - 0.14 * (1 - step)
            cloth.line([(x, y), (x + 0.2, y + 0.06)], 0.8, tone)
    elif kind < 0.65:
        x = (front + back) / 2 + 0.05
        cloth.line([(x, top), (x - 0.02, heel - 0.16)], 0.8, tone)
    elif kind < 0.85:
        x = (front + back) / 2
        cloth.shade(
            [(x - 0.14, top - 0.1), (x + 0.14, top - 0.1), (x + 0.05, heel - 0.4), (x - 0.05, heel - 0.4)],
            tone,
        )
    if rng.random() < 0.5:
        cloth.line([(front - 0.1, top + 0.12), (back + 0.1, top + 0.12)], 0.8, _contrast(rng))
    if rng.random() < 0.4:
        cloth.line([(-0.5, toe - 0.06), (-0.42, toe + 0.12), (-0.46, ball)], 0.7, tone, smooth=True)


_TAILORS: tuple[Callable[[_Cloth, np.random.Generator], None], ...] = (
    _tshirt,
    _trouser,
    _pullover,
    _dress,
    _coat,
    _sandal,
    _shirt,
    _sneaker,
    _bag,
    _boot,
)
_SHOES = frozenset({5, 7, 9})  # labels of what has a toe, which may point either way


def _fabric(rng: np.random.Generator, turn: float, loud: float) -> Floats:
    """Draw the pattern of a fabric.

    Args:
        rng: Source of chance.
        turn: How far the garment is rotated in radians; stripes turn with it.
        loud: Largest strength of the pattern, relative to the brightness.

    Returns:
        Factors on the brightness ``(28, 28)``, about 1.
    """
    weave = 1.0 + rng.uniform(0.0, 0.12) * _clouds(rng, 5)  # folds and light
    kind, depth = rng.integers(8), loud * rng.uniform(0.3, 1.0)
    if kind in (3, 4):
        angle = turn + (math.pi / 2 if rng.random() < 0.6 else rng.uniform(0.0, math.pi))
        weave *= 1.0 + depth * _stripes(angle, rng.uniform(2.4, 7.0), rng.uniform(0.0, 6.3), hard=rng.random() < 0.5)
    elif kind == 5:
        period, phase = rng.uniform(3.0, 7.0), rng.uniform(0.0, 6.3)
        for angle in (turn, turn + math.pi / 2):
            weave *= 1.0 + 0.6 * depth * _stripes(angle, period, phase, hard=True)
    elif kind == 6:
        slope = rng.normal(0.0, 0.022, 2)
        weave *= 1.0 + (_ACROSS - _SIDE / 2) * slope[0] + (_DOWN - _SIDE / 2) * slope[1]
    elif kind == 7:
        weave *= 1.0 + 0.45 * depth * rng.normal(0.0, 1.0, (_SIDE, _SIDE))
    return np.clip(weave, 0.35, 1.8)


def _garment(label: int, rng: np.random.Generator) -> Floats:
    """Draw a garment, a shoe or a bag.

    Args:
        label: Index into `GARMENT_CLASSES`.
        rng: Source of chance.

    Returns:
        Values ``(28, 28)``, about 0-255.
    """
    turn = rng.uniform(-0.2, 0.2)
    pose = _pose(
        rng,
        unit=rng.uniform(11.0, 13.6),
        turn=turn,
        slant=rng.uniform(-0.12, 0.12),
        bend=rng.uniform(0.01, 0.03),
        drift=1.5,
        mirror=label in _SHOES and rng.random() < 0.4,
    )
    cloth = _Cloth(pose)
    _TAILORS[label](cloth, rng)
    mask, tone = cloth.finish()
    ground = _ground(rng, clean=0.45)
    loud = 0.2 if label in _SHOES else 0.36  # a loud pattern would hide what makes a shoe a shoe
    bright = rng.uniform(115.0, 215.0)
    return _develop(rng, ground + mask * (bright * tone * _fabric(rng, turn, loud) - ground), grain=13.0)
