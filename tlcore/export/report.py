"""A comparison as one HTML file: words, every chart, tables, provenance. It opens offline and prints as it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from tlcore import views
from tlcore.experiment import Experiment
from tlcore.export.chart import Chart, drawn
from tlcore.export.report_inside import inside_charts, inside_tables
from tlcore.export.script import command_line
from tlcore.results import paired_comparisons
from tlcore.views.common import by_strategy
from tlcore.views.inside import WHAT_TITLES, stages_figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tlcore.experiment import RunRecord


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, and whether that is a number."""

    text: str
    number: bool


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def report(
    experiment: Experiment, records: Sequence[RunRecord], *, recorded: bool = False, pictures: bool = True
) -> str:
    """Write a comparison as a page that needs nothing else.

    Args:
        experiment: What was asked for.
        records: Its records; at least one.
        recorded: Whether they come with the project instead of from this host.
        pictures: Whether whoever gets it may see the pictures that the arms were tested on.

    Returns:
        HTML with Plotly inside, of about 5 MB; what the arms look like from inside as far as this machine keeps it.
    """
    comparisons = paired_comparisons(records)
    tables = [
        _table("Strategies", views.results_table(records)),
        *([_table("Paired differences", views.differences_table(comparisons))] if comparisons else []),
        *(_table(title, table) for title, table in inside_tables(experiment, records)),
        _table("Learning curves: mean accuracy on the observation images (%)", _curves(records)),
        _table("What was asked for", _asked(experiment)),
        _table("Where it came from", _origins(records)),
    ]
    return _template().render(
        title=views.experiment_title(experiment),
        provenance=views.provenance_sentence(records, recorded=recorded),
        answer=views.summary_sentence(comparisons) if comparisons else "",
        verdicts=views.verdict_sentences(comparisons, experiment),
        charts=[*_charts(experiment, records), *inside_charts(experiment, records, pictures=pictures)],
        tables=[table for table in tables if table.rows],
        command="\n".join(command_line(experiment)),
        link=f"/compare?{urlencode(experiment.to_query(), safe=',')}",
        plotly=_plotly(),
    )


def _charts(experiment: Experiment, records: Sequence[RunRecord]) -> Iterator[Chart]:
    comparisons = paired_comparisons(records)
    yield Chart(
        drawn(views.accuracy_figure(records)),
        views.accuracy_sentence(records),
        note="Dot: one seed. Diamond and bar: mean and 95 % interval.",
        part="Accuracy on the test images",
    )
    if comparisons:
        yield Chart(
            drawn(views.differences_figure(comparisons)),
            " ".join(views.verdict_sentences(comparisons, experiment)),
            note="Paired by seed. A bar that crosses the zero line leaves it open which is better.",
            part=f"Difference from “{views.title_of(comparisons[0].baseline)}”",
        )
    if looks := views.points_of(records):
        yield Chart(
            drawn(views.curves_figure(looks, levels=views.levels_of(records), steps=experiment.steps)),
            "Learning curves; the table below has their numbers.",
            note="Line: mean of the seeds. Shade: their range. Read on images that nothing is selected on.",
            part="Learning curves",
        )
    yield Chart(
        views.network_table(views.recorded_network(records)),
        "The network of every strategy, as a table.",
        note="Filled: starts from the source's weights. Empty: starts from fresh random weights. Hatched: frozen, "
        "training cannot change it. The numbers count weights.",
        part="What was reused, frozen and trained",
    )
    part = "What training changed, stage by stage"
    for what, title in WHAT_TITLES.items():
        if any(getattr(record, what) for record in records):
            yield Chart(drawn(stages_figure(records, what)), title, title=title, part=part)
            part = ""
    part = "Which classes are taken for which"
    for strategy, group in by_strategy(records).items():
        title = f"{views.title_of(strategy)}, seed {group[0].seed}"
        note = "Rows are the true classes, columns the answers; numbers count test images." if part else ""
        yield Chart(drawn(views.confusion_figure(group[0])), f"Confusion matrix of {title}.", title, note, part)
        part = ""


def _table(title: str, table: pd.DataFrame) -> Table:
    rows = tuple(tuple(_cell(value) for value in row) for row in table.itertuples(index=False))
    return Table(title, tuple(str(name) for name in table.columns), rows)


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return Cell(value, number=False)
    if value is None or value != value:  # NaN is not itself
        return Cell("–", number=True)
    return Cell(f"{value:.1f}" if isinstance(value, float) else f"{value:,}", number=True)


def _curves(records: Sequence[RunRecord]) -> pd.DataFrame:
    return views.curves_table(views.points_of(records)).reset_index()


def _asked(experiment: Experiment) -> pd.DataFrame:
    rows: list[tuple[str, str, str]] = []
    for name, info in Experiment.model_fields.items():
        value = getattr(experiment, name)
        text = "auto" if value is None else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        rows.append((name.replace("_", " "), text, info.description or ""))
    return pd.DataFrame(rows, columns=["Setting", "Value", "What it is"])


def _origins(records: Sequence[RunRecord]) -> pd.DataFrame:
    target, where = records[0].datasets["target"], records[0].environment
    source = next((record for record in records if record.source_model is not None), None)
    rows = [("Target", f"{target.title}: {target.provenance}"), ("Target's SHA-256", target.sha256)]
    if target.adaptation:
        rows.append(("Fitted to the network", target.adaptation))
    if source is not None and source.source_model is not None:
        known = source.datasets["source"]
        rows += [
            ("Source", f"{known.title}: {known.provenance}"),
            ("Source model", source.source_model.provenance),
            ("Source model's SHA-256", source.source_model.sha256),
        ]
    rows += [
        ("Packages", ", ".join(f"{name} {version}" for name, version in where.packages.items())),
        ("Python, tlcore", f"{where.python}, {where.tlcore}"),
        ("Machine", f"{where.machine}; {where.device}; {where.precision}"),
        ("Experiment", records[0].experiment.content_hash()),
    ]
    return pd.DataFrame(rows, columns=["What", "Which"])


def _template() -> Any:
    folder = Path(__file__).parent
    return Environment(loader=FileSystemLoader(folder), autoescape=True).get_template("report.html.j2")


@lru_cache(maxsize=1)
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
