"""Every lab: what is asked, run, answered and changed, on any page made from a lesson's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import guess as guessing
from tests.pages import filling
from tests.pages.page_text import ME, everything
from tlcore import recorded
from tlcore.lessons import lessons, text_of
from tlcore.presets import RECORDS
from tlcore.store import Store
from tlcore.views import Guess

ROOT = Path(__file__).resolve().parents[2]
every_lab = pytest.mark.parametrize("name", lessons())


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded results that ship, which the texts take their numbers from."""
    monkeypatch.setattr(recorded, "RECORDS", RECORDS)


def open_lab(name: str, **query: str) -> AppTest:
    """Open a lab's page; `AppTest.switch_page` knows pages by their files, and a lab has none."""
    at = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=30)
    at.session_state["tl_owner"] = ME
    at.run()
    for key, value in query.items():
        at.query_params[key] = value
    pages = at._registered_pages.items()
    at._page_hash = next(key for key, page in pages if page.get("url_pathname") == lessons()[name].slug)
    at.run()
    assert not at.exception, at.exception
    return at


@every_lab
def test_a_lab_asks_before_it_runs(name: str) -> None:
    at, text = open_lab(name), text_of(name)
    said = everything(at)
    assert text.heading.title in said
    assert text.heading.prediction in said
    assert "{{" not in said, "a number was not filled in"
    assert not at.error
    assert at.button(key="run").label == "Run"


@every_lab
def test_every_answer_gets_its_reply(name: str) -> None:
    at = open_lab(name)
    for choice, words in text_of(name).heading.why.choices.items():
        at.radio(key=f"{name}.why").set_value(choice).run()
        assert words.explain in everything(at)
        assert Store().progress(ME)[name].why == choice


@every_lab
def test_the_prediction_is_kept_with_the_run(name: str) -> None:
    lesson, at = lessons()[name], open_lab(name)
    if lesson.prediction.kind == "order":
        at.multiselect(key=f"{name}.guess").set_value(list(lesson.prediction.arms)).run()
    else:
        at.slider(key=f"{name}.guess").set_value(70).run()
    at.button(key="run").click().run()
    assert not at.exception
    progress = Store().progress(ME)[name]
    job = Store().job(progress.run or "")
    assert job is not None
    assert job.experiment == lesson.experiment
    guess = guessing.read(progress.prediction, lesson)
    assert guess is not None
    assert guess.order == (lesson.prediction.arms if lesson.prediction.kind == "order" else ())


@every_lab
def test_a_result_shows_the_prediction_and_can_be_ended(name: str) -> None:
    lesson = lessons()[name]
    arms = lesson.prediction.arms
    guess = Guess(order=arms) if lesson.prediction.kind == "order" else Guess(accuracy=70.0, strategy=arms[0])
    run_id = filling.run(lesson.experiment, ME)
    Store().note_progress(ME, name, prediction=guessing.write(guess), run=run_id)
    at = open_lab(name)
    assert "Your prediction" in everything(at)
    at.button(key="done").click().run()
    assert Store().progress(ME)[name].done


@every_lab
def test_every_change_and_pitfall_can_be_run(name: str) -> None:
    lesson, at = lessons()[name], open_lab(name)
    for part, steps in (("change", lesson.changes), ("pitfalls", lesson.pitfalls)):
        for step in steps:
            at.button_group(key=f"{name}.{part}").set_value(step.name).run()
            at.button(key=f"run-{part}").click().run()
            assert not at.exception
            (job,) = Store().jobs(ME)
            assert job.experiment == lesson.changed(step)
            Store().request_stop(job.id, ME)
            Store().delete(job.id, ME)


def test_a_teachers_link() -> None:
    name = "feature_extraction"
    at = open_lab(name, n="7", hide="why,code,nonsense")
    said = everything(at)
    assert "7 labels a class" in said
    assert "Why?" not in said
    assert "Change one thing" in said


def test_another_language() -> None:
    german = text_of("feature_extraction", "de")
    assert german.language == "de"
    assert german.heading.title in everything(open_lab("feature_extraction", lang="de"))
    assert text_of("feature_extraction").heading.title in everything(open_lab("feature_extraction", lang="xx"))


@every_lab
def test_what_is_folded_away_opens(name: str) -> None:
    lesson = lessons()[name]
    run_id = filling.run(lesson.experiment, ME)
    Store().note_progress(ME, name, run=run_id)
    at = open_lab(name)
    tables = len(at.dataframe)
    at.session_state[f"{name}-script-read"] = at.session_state[f"{run_id}-more"] = at.session_state["teacher"] = True
    at.session_state[f"{name}-script-arm"] = "scratch"
    for record in lesson.recorded:
        at.session_state[f"{name}-{record}-more"] = True
    at.run()
    assert not at.exception
    assert "import keras" in everything(at)
    assert len(at.dataframe) > tables + 1
