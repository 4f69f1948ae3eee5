"""The report, the tables and the logs: all there is, readable by what reads them, and nothing from outside."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.views import samples
from tlcore.experiment import Experiment
from tlcore.export.events import settings_of, tensorboard_zip
from tlcore.export.report import report
from tlcore.export.tables import records_table
from tlcore.results import Comparison
from tlcore.views import title_of

ASKED = Experiment(
    strategies=("scratch", "feature_extraction", "fine_tune_all", "direct_reuse", "pixel_baseline"), seeds=3
)
STAGES = {"conv1": 0.2, "conv2": 0.5, "dense1": 0.9}


@pytest.fixture(scope="module")
def records():
    measured = {"weight_change": STAGES, "feature_change": STAGES, "feature_cka": STAGES}
    return [record.model_copy(update=measured if record.curve else {}) for record in samples.records(ASKED)]


@pytest.fixture(scope="module")
def page(records) -> str:
    return report(ASKED, records)


def without_plotly(page: str) -> str:
    """The page without the one script that is Plotly itself: it names addresses that it never asks for here."""
    rest, count = re.subn(r"<script>(?:(?!</script>)[\s\S]){1000000,}</script>", "", page)
    assert count == 1
    return rest


def test_a_report_has_every_chart_and_table(page: str) -> None:
    rest = without_plotly(page)
    charts = 3 + 3 + len(ASKED.strategies)  # accuracy, differences, curves; by stage; confusion
    assert rest.count("Plotly.newPlot(") == charts
    assert rest.count("tl-network") > 1
    assert rest.count('<table class="numbers">') == 5
    for strategy in ASKED.strategies:
        assert rest.count(title_of(strategy)) > 3
    assert "@media print" in rest
    assert "python -m tlcore compare --source mnist" in rest
    assert ASKED.content_hash() in rest
    assert "1" * 64 in rest  # the target's hash


def test_a_report_needs_nothing_from_outside(page: str) -> None:
    rest = without_plotly(page)
    assert not re.findall(r"https?:|//[a-z]+\.[a-z]+|\ssrc=|<link|@import|url\(", rest)


def test_a_report_writes_out_what_could_be_code(records) -> None:
    hostile = "<script>alert(1)</script>"
    target = records[0].datasets["target"].model_copy(update={"title": hostile, "provenance": hostile})
    changed = [one.model_copy(update={"datasets": {**one.datasets, "target": target}}) for one in records]
    assert hostile not in report(ASKED, changed)


def test_a_report_of_one_arm_says_what_there_is(records) -> None:
    alone = ASKED.model_copy(update={"strategies": ("pixel_baseline",), "seeds": 1})
    only = [record for record in records if (record.strategy, record.seed) == ("pixel_baseline", 0)]
    rest = without_plotly(report(alone, only))
    assert rest.count("Plotly.newPlot(") == 2
    assert "Difference from" not in rest


def test_every_record_is_a_row(records) -> None:
    table = pd.read_csv(io.StringIO(records_table(records).to_csv(index=False)))
    assert len(table) == len(records)
    first = table.iloc[0]
    assert first["test_accuracy"] == records[0].test_accuracy
    assert (first["strategy"], first["seed"], first["target"]) == ("scratch", 0, "fashion_mnist")
    assert first["keras"] == "3.15.1"
    assert first["arm"] == records[0].arm_hash


def test_the_shipped_records_can_be_taken_along(root: Path) -> None:
    comparison = Comparison.read(root / "data" / "records" / "mnist_to_fashion.json")
    assert len(records_table(comparison.records)) == len(comparison.records)
    assert "Recorded on" in report(comparison.experiment, comparison.records, recorded=True)


READ_BACK = """
import json, sys
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata
events = EventMultiplexer().AddRunsFromDirectory(sys.argv[1]).Reload()
found = {}
for run, tags in events.Runs().items():
    found[run] = {tag: [[one.step, one.value] for one in events.Scalars(run, tag)] for tag in tags["scalars"]}
content = events.PluginRunToTagToContent("hparams")
settings = {}
for run, tags in content.items():
    if metadata.SESSION_START_INFO_TAG in tags:
        started = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        settings[run] = {name: one.string_value or one.number_value for name, one in started.hparams.items()}
        metadata.parse_session_end_info_plugin_data(tags[metadata.SESSION_END_INFO_TAG])
overview = metadata.parse_experiment_plugin_data(content["."][metadata.EXPERIMENT_TAG])
print(json.dumps([found, settings, [info.name for info in overview.hparam_infos]]))
"""


def test_tensorboard_reads_the_logs_back(records, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(tensorboard_zip(records))) as archive:
        archive.extractall(tmp_path)
    # In a process of its own: TensorBoard's reader loads TensorFlow where it finds it.
    done = subprocess.run(
        [sys.executable, "-c", READ_BACK, str(tmp_path)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scalars, settings, names = json.loads(done.stdout.splitlines()[-1])
    for record in records:
        run = f"{record.strategy}/seed_{record.seed}"
        assert scalars[run]["accuracy/test"] == [[record.steps, pytest.approx(record.test_accuracy, abs=1e-6)]]
        if record.curve:
            assert scalars[run]["accuracy/observation"] == [
                [point.step, pytest.approx(point.validation_accuracy, abs=1e-6)] for point in record.curve
            ]
        asked = settings_of(record)
        assert settings[run] == {name: pytest.approx(value) for name, value in asked.items()}
        assert names == list(asked)


LIGHT = """
import sys
sys.path.insert(0, {root!r})
from tests.views import samples
from tlcore.export.files import KINDS, file_of, file_of_arm
from tlcore.results import Comparison
records = samples.records()
comparison = Comparison(records[0].experiment, tuple(records))
for kind in KINDS.values():
    if kind.of == "comparison":
        assert len(file_of(comparison, kind).content) > 1000
    elif not kind.model:
        assert len(file_of_arm(records[0], kind).content) > 1000
print(sorted({{"keras", "tensorflow", "torch", "jax", "sklearn"}} & sys.modules.keys()))
"""


def test_what_a_page_hands_out_is_written_without_keras(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(root=str(root))], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"
