"""The page of what is beyond classes: every task with its recorded result, or what to do where there is none."""

from __future__ import annotations

from pages.shared import beyond_panel
from tests.pages.page_text import everything
from tlcore.beyond.results import TASKS


def test_every_task_shows_its_question_and_what_was_measured(app):
    at = app("beyond")
    words = everything(at)
    for task in TASKS.values():
        assert task.question in words
        assert task.score in words
    assert words.count("Frozen backbone against") == 2 * len(TASKS)
    assert words.count("recorded]") == len(TASKS)
    at.session_state["beyond-verification-more"] = True
    at.run()
    assert len(at.dataframe) == 1
    assert "python -m tlcore beyond verification" in everything(at)


def test_a_missing_record_says_how_to_make_it(app, monkeypatch, tmp_path):
    monkeypatch.setattr(beyond_panel, "RECORDS", tmp_path)
    at = app("beyond")
    assert not at.exception
    assert len(at.info) == len(TASKS)
    assert "tlcore beyond segmentation" in at.info[0].value
