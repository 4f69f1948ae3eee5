"""The report, the tables and the logs: all there is, readable by what reads them, and nothing from outside."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.views import samples
from tlcore import inside as kept
from tlcore.experiment import Experiment
from tlcore.export.events import settings_of, tensorboard_zip
from tlcore.export.report import report
from tlcore.export.report_inside import SHOWN
from tlcore.export.tables import records_table
from tlcore.results import Comparison
from tlcore.views import title_of
from tlcore.views.inside import fixed_and_broken

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


OUTSIDE = r"https?:|//[a-z]+\.[a-z]+|\ssrc=(?!\"data:image/png;base64,)|<link|@import|url\("


def test_a_report_needs_nothing_from_outside(page: str) -> None:
    assert not re.findall(OUTSIDE, without_plotly(page))


INSIDE = ("scratch", "fine_tune_all", "pixel_baseline")


def keep_inside(records, strategies=INSIDE, *, side: int = 28) -> None:
    """Keep what these arms of the first seed look like from inside: no pictures, which belong to all of them."""
    for record in records:
        if record.seed or record.strategy not in strategies:
            continue
        rng = np.random.default_rng(len(record.strategy))
        truth = np.arange(60) % 10
        answers = np.where(rng.random(60) < 0.5, truth, rng.integers(0, 10, 60))
        sha256 = record.datasets["target"].sha256
        made = kept.answers_only(sha256, (side, side, 1), record.test_accuracy, truth, answers)
        if record.strategy != "pixel_baseline":
            kernel = rng.normal(size=(3, 3, 1, 8))
            made = kept.with_kernels(made, [kernel], [kernel + 0.1])
            maps = {"conv1": rng.random((3, 14, 14, 16)), "dense1": rng.random((3, 40))}
            made = kept.with_activations(made, np.arange(3), maps)
            made = kept.with_features(made, rng.normal(size=(20, 8)), rng.normal(size=(20, 8)), np.arange(20) % 10)
        kept.keep(record.experiment, record.strategy, 0, made)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing is kept from inside."""
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    return tmp_path


def test_a_report_looks_inside(records, page: str, home: Path) -> None:
    assert "the machine that wrote this report does not keep them" in page
    keep_inside(records)
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28, 1), dtype=np.uint8)
    kept.keep_pictures("fashion_mnist", "1" * 64, kept.Pictures(images, np.zeros(60, dtype=np.int16)))
    whole = report(ASKED, records)
    rest = without_plotly(whole)
    more = 1 + 2 * 2 + 2  # filters; two embeddings of two arms; two arms against scratch
    assert rest.count("Plotly.newPlot(") == without_plotly(page).count("Plotly.newPlot(") + more
    arms = [record for record in records if record.seed == 0 and record.strategy in INSIDE]
    base, *others = (kept.find_of(record) for record in arms)
    pictures = 2 * (1 + 2)  # of two arms, the picture that is followed and its two stages
    for other in others:
        flips = fixed_and_broken(base, other, base.truth)
        pictures += min(SHOWN, len(flips.fixed)) + min(SHOWN, len(flips.broken))
    assert rest.count("<img src=") == pictures
    assert "Not kept on this machine: Feature extraction, Direct reuse." in rest
    assert rest.count('<table class="numbers">') == 7
    assert "no longer kept" not in rest
    assert not re.findall(OUTSIDE, rest)
    assert len(whole) < 8_000_000


def test_a_report_for_others_has_no_pictures(records, home: Path) -> None:
    keep_inside(records)
    rest = without_plotly(report(ASKED, records, pictures=False))
    assert "<img" not in rest
    assert "only the browser that added them sees them" in rest
    assert "The first filters" in rest
    assert "fixes" in rest


def test_a_report_of_another_run_or_without_pictures_says_so(records, home: Path) -> None:
    changed = [record.model_copy(update={"test_accuracy": 0.111}) for record in records]
    keep_inside(changed, ("scratch",))
    rest = without_plotly(report(ASKED, records))
    assert "It ended at 11.1 % on the test images" in rest
    assert "pictures themselves are no longer kept" in rest


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
from tlcore import inside as kept
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
