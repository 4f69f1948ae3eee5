"""The Streamlit process stays small: no page may bring Keras into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VISIT_EVERY_PAGE = """
import sys
sys.path.insert(0, {root!r})
from tests.pages import filling
from streamlit.testing.v1 import AppTest
from tlcore.experiment import Experiment
run = filling.run(Experiment(), "me")
at = AppTest.from_file({main!r}, default_timeout=30).run()
for page in ("compare", "models", "runs"):
    at.switch_page({folder!r} + f"/{{page}}.py").run()
    assert not at.exception, at.exception
at.query_params["run"] = run
at.switch_page({folder!r} + "/compare.py").run()
assert not at.exception, at.exception
heavy = {{"keras", "tensorflow", "torch", "jax", "sklearn"}} & sys.modules.keys()
print("heavy:", sorted(heavy))
"""


def test_no_page_imports_keras(tmp_path):
    code = VISIT_EVERY_PAGE.format(root=str(ROOT), main=str(ROOT / "pages" / "main.py"), folder=str(ROOT / "pages"))
    environment = os.environ | {"TLCORE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("heavy: []")
    assert "will be removed" not in done.stderr


def test_streamlit_reads_the_hidden_option():
    code = "from streamlit.config import get_option as o; print(o('runner.postScriptGC'), o('server.maxUploadSize'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.split() == ["False", "100"]


def test_page_files_are_thin():
    for path in (ROOT / "pages").rglob("*.py"):
        assert path.stat().st_size < 12_000, path
