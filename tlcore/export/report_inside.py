"""What a report shows of arms from inside: first filters, activations, features, what one arm fixed and another broke.

It is made of the small files that `tlcore.inside` keeps; pictures go into the page as PNG, so that it stays one file.
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from tlcore import inside as kept
from tlcore.export.chart import Chart, drawn
from tlcore.views import inside as draw
from tlcore.views.common import title_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from tlcore.experiment import Experiment, RunRecord
    from tlcore.inside import Inside, Pictures

SHOWN = 7  # pictures of a list: a row
SIDE = 64  # pixels of a picture; more, or all of its colours, would make a report of many arms too large to send
COLOURS = 128
HIGH = 420  # pixels of an embedding: two fit on a sheet
WITHHELD = (
    "The pictures, and the activations in which they can be recognised, are left out: they are somebody's own, and "
    "only the browser that added them sees them."
)


class _Arm(NamedTuple):
    record: RunRecord
    inside: Inside

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record.datasets["target"].classes)


def inside_charts(experiment: Experiment, records: Sequence[RunRecord], *, pictures: bool) -> Iterator[Chart]:
    """What the arms of a comparison's first seed look like from inside.

    Args:
        experiment: What was asked for; its first seed is the one that is kept from inside.
        records: Its records.
        pictures: Whether the pictures that the arms answered may be shown.

    Yields:
        The charts; where this machine keeps some or all of them no more, that in a sentence.
    """
    first = [record for record in records if record.seed == experiment.first_seed]
    arms = _opened(experiment, records)
    notes = [_missing_sentence([record for record in first if record.strategy not in arms], every=not arms)]
    notes += [draw.another_run_sentence(arm.inside, arm.record) for arm in arms.values()]
    if arms and not pictures:
        notes.append(WITHHELD)
    elif any(kept.find_pictures(arm.inside) is None for arm in arms.values()):
        notes.append("The test pictures themselves are no longer kept on this machine.")
    said = " ".join(note for note in notes if note)
    if said or arms:
        seed = f"What is kept of seed {experiment.first_seed}, the first. " if arms else ""
        yield Chart("", "", note=f"{seed}{said}".strip(), part="Looking inside")
    yield from _filters(arms)
    if pictures:
        yield from _activations(arms)
    yield from _embeddings(arms)
    yield from _flips(arms, pictures=pictures)


def inside_tables(experiment: Experiment, records: Sequence[RunRecord]) -> list[tuple[str, pd.DataFrame]]:
    """The numbers behind `inside_charts`.

    Args:
        experiment: What was asked for.
        records: Its records.

    Returns:
        Title and table; empty tables where nothing is kept.
    """
    insides = {strategy: arm.inside for strategy, arm in _opened(experiment, records).items()}
    return [
        ("First filters", draw.filters_table(insides)),
        ("Nearest neighbours among the features", draw.neighbours_table(insides)),
    ]


def _opened(experiment: Experiment, records: Sequence[RunRecord]) -> dict[str, _Arm]:
    found: dict[str, _Arm] = {}
    for record in records:
        if record.seed == experiment.first_seed and (inside := kept.find_of(record)) is not None:
            found[record.strategy] = _Arm(record, inside)
    return found


def _missing_sentence(missing: Sequence[RunRecord], *, every: bool) -> str:
    if every:
        return (
            "First filters, activations, features, and the pictures that one arm fixed and another broke, are left "
            "out: the machine that wrote this report does not keep them of this run."
        )
    if missing:
        return f"Not kept on this machine: {', '.join(title_of(record.strategy) for record in missing)}."
    return ""


def _filters(arms: dict[str, _Arm]) -> Iterator[Chart]:
    insides = {strategy: arm.inside for strategy, arm in arms.items() if arm.inside.has_kernels}
    if insides:
        table = draw.filters_table(insides)
        moved = "; ".join(f"{row[0]}: moved by {row[2]:.0f} % of their size" for row in table.itertuples(index=False))
        yield Chart(
            drawn(draw.filters_figure(insides)),
            f"First-stage filters before and after training. {moved}.",
            note="Each tile is one filter of the first stage: middle grey is zero, bright is positive, dark is "
            "negative.",
            part="The first filters",
        )


def _activations(arms: dict[str, _Arm]) -> Iterator[Chart]:
    part = "One test picture on its way through the network"
    note = (
        "What each stage hands on after training, each with colours of its own from its lowest output (or zero) to its "
        "highest. Dark maps and units are silent."
    )
    for strategy, arm in arms.items():
        if not arm.inside.activations:
            continue
        inside, row = arm.inside, int(arm.inside.pictured[0])
        true, answer = arm.classes[int(inside.truth[row])], draw.answer_words(int(inside.answers[row]), arm.classes)
        found = kept.find_pictures(inside)
        head = [] if found is None or row >= len(found.images) else [(_small(found.images[row]), true)]
        silent = draw.silent_share(inside)
        stages = [
            (Image.fromarray(picture), f"{draw.stage_words(inside, stage)}, {silent[stage]:.0%} zero")
            for stage, picture in draw.activation_pictures(inside).items()
        ]
        words = f"True class: {true}. Answer: {answer}."
        yield Chart(
            _row(head, "picture") + f"<p>{escape(words)}</p>" + _row(stages, "map"),
            f"Activations of {title_of(strategy)} by stage. {words}",
            title_of(strategy),
            note,
            part,
        )
        part = note = ""


def _embeddings(arms: dict[str, _Arm]) -> Iterator[Chart]:
    part = "Where the features put pictures"
    for strategy, arm in arms.items():
        inside = arm.inside
        if not inside.has_features:
            continue
        for method, title in draw.METHOD_TITLES.items():
            before, shares = _embedded(inside.features_before, method)
            after, shares_after = _embedded(inside.features_after, method)
            figure = draw.embedding_figure(
                before, after, inside.feature_labels, arm.classes, method, (shares, shares_after)
            )
            yield Chart(
                drawn(figure.update_layout(height=HIGH)),
                f"{title} of the features of {len(inside.feature_labels)} pictures before and after training.",
                f"{title_of(strategy)}: {title}",
                _EMBEDDING_NOTE if part else "",
                part,
            )
            part = ""


_EMBEDDING_NOTE = (
    "Each mark is one picture that nothing was trained on, placed by the features that the output layer sees. "
    "Principal components are the axes along which the features differ most; t-SNE keeps neighbours together, but "
    "distances between groups and their sizes mean nothing."
)


def _embedded(features: NDArray[np.float16], method: draw.Method) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    return _embed(features.tobytes(), features.shape[1], method)


@lru_cache(maxsize=64)  # arms that start from the same weights start from the same features, and t-SNE takes seconds
def _embed(features: bytes, width: int, method: draw.Method) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    return draw.embed(np.frombuffer(features, dtype=np.float16).reshape(-1, width), method)


def _flips(arms: dict[str, _Arm], *, pictures: bool) -> Iterator[Chart]:
    if len(arms) < 2:
        return
    base = "scratch" if "scratch" in arms else next(iter(arms))
    part = f"Which pictures others fix and break, against “{title_of(base)}”"
    for strategy, arm in arms.items():
        theirs, ours = arms[base].inside, arm.inside
        if strategy == base or theirs.dataset_sha256 != ours.dataset_sha256:
            continue
        flips = draw.fixed_and_broken(theirs, ours, theirs.truth)
        words = (
            f"Among {flips.count:,} test images, {title_of(strategy)} fixes {len(flips.fixed):,} that "
            f"{title_of(base)} gets wrong, and breaks {len(flips.broken):,} that it gets right."
        )
        html = drawn(draw.flips_figure(flips, base, strategy))
        found = kept.find_pictures(ours) if pictures else None
        if found is not None:
            for title, rows, wrong in (("▲ Fixed", flips.fixed, theirs), ("▼ Broken", flips.broken, ours)):
                html += _listed(title, found, rows, wrong, arm.classes)
        yield Chart(html, words, title_of(strategy), words, part)
        part = ""


def _listed(title: str, found: Pictures, rows: NDArray[np.int64], wrong: Inside, classes: Sequence[str]) -> str:
    """The first pictures of a list, each with its class and what it was taken for."""
    shown = [int(at) for at in rows if at < len(found.images)][:SHOWN]
    if not shown:
        return ""
    more = f", the first {len(shown)} of {len(rows):,}" if len(shown) < len(rows) else ""
    said = [
        f"{classes[int(wrong.truth[at])]}, not {draw.answer_words(int(wrong.answers[at]), classes)}" for at in shown
    ]
    pictures = [(_small(found.images[at]), words) for at, words in zip(shown, said, strict=True)]
    return f"<p>{title}{more}</p>{_row(pictures, 'picture')}"


def _small(image: NDArray[np.uint8]) -> Image.Image:
    """A picture of at most `SIDE` pixels a side."""
    small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small.thumbnail((SIDE, SIDE))
    return small if small.mode == "L" else small.quantize(COLOURS)


def _row(pictures: Sequence[tuple[Image.Image, str]], kind: str) -> str:
    """Pictures with what stands under each."""
    cells = "".join(
        f'<div class="{kind}"><img src="{_png(image)}" alt="{escape(words)}"><p class="note">{escape(words)}</p></div>'
        for image, words in pictures
    )
    return f'<div class="pictures">{cells}</div>'


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
