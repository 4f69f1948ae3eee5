"""A learner's progress in the store: kept step by step, bounded, and carried to another browser by a code."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.dialects import postgresql

from tlcore import migrations, store
from tlcore.errors import UserError
from tlcore.jobs.database import open_database
from tlcore.jobs.tables import PROGRESS
from tlcore.store import CODE_SECONDS, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TLCORE_HOME", str(tmp_path))
    monkeypatch.delenv("TLCORE_DATABASE_URL", raising=False)
    opened = Store()
    yield opened
    opened.close()


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the store's clock."""
    now = time.time() + seconds
    monkeypatch.setattr(store.time, "time", lambda: now)


def test_nobody_has_progress_at_first(kept: Store) -> None:
    assert kept.progress("ada") == {}


def test_steps_add_up(kept: Store) -> None:
    kept.note_progress("ada", "fine_tuning", prediction='{"order": ["scratch"]}')
    kept.note_progress("ada", "fine_tuning", run="r1")
    kept.note_progress("ada", "fine_tuning", change="r2", why="learned")
    kept.note_progress("ada", "fine_tuning", done=True)
    found = kept.progress("ada")["fine_tuning"]
    assert (found.prediction, found.run, found.change) == ('{"order": ["scratch"]}', "r1", "r2")
    assert (found.why, found.done, found.answers) == ("learned", True, {})
    assert abs(found.updated.timestamp() - time.time()) < 60


def test_a_step_can_be_taken_back(kept: Store) -> None:
    kept.note_progress("ada", "fine_tuning", prediction="1", run="r1", done=True)
    kept.note_progress("ada", "fine_tuning", prediction=None, done=False)
    found = kept.progress("ada")["fine_tuning"]
    assert (found.prediction, found.run, found.done) == (None, "r1", False)


def test_the_quiz_is_kept_likewise(kept: Store) -> None:
    kept.note_progress("ada", "quiz", answers={"what_moves": "c"})
    kept.note_progress("ada", "quiz", answers={"what_moves": "c", "frozen": "a"})
    assert kept.progress("ada")["quiz"].answers == {"what_moves": "c", "frozen": "a"}
    kept.note_progress("ada", "quiz", answers={})
    assert kept.progress("ada")["quiz"].answers == {}


def test_learners_are_apart_and_the_last_touched_is_first(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.note_progress("ada", "fine_tuning", done=True)
    later(monkeypatch, 5)
    kept.note_progress("ada", "pre_training", done=True)
    kept.note_progress("bob", "quiz", answers={})
    assert list(kept.progress("ada")) == ["pre_training", "fine_tuning"]
    assert list(kept.progress("bob")) == ["quiz"]


@pytest.mark.parametrize(
    "steps",
    [
        {"prediction": "x" * 2001},
        {"prediction": "not JSON"},
        {"run": "r" * 33},
        {"change": ""},
        {"why": "w" * 81},
        {"answers": {"q": "a" * 81}},
        {"answers": {str(at): "a" for at in range(501)}},
        {"done": "perhaps"},
        {"score": 100},
    ],
)
def test_what_does_not_fit_is_refused(kept: Store, steps: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="cannot be kept"):
        kept.note_progress("ada", "fine_tuning", **steps)
    assert kept.progress("ada") == {}


@pytest.mark.parametrize(("owner", "lesson"), [("", "quiz"), ("o" * 201, "quiz"), ("ada", ""), ("ada", "l" * 81)])
def test_names_are_bounded(kept: Store, owner: str, lesson: str) -> None:
    with pytest.raises(UserError, match="cannot be kept"):
        kept.note_progress(owner, lesson, done=True)


def test_a_code_copies_lessons_and_not_runs(kept: Store) -> None:
    kept.note_progress("ada", "fine_tuning", run="r1", done=True)
    kept.note_progress("ada", "quiz", answers={"q": "a"})
    code = kept.progress_code("ada")
    assert len(code) == 10
    assert kept.progress_code("ada") == code
    assert kept.take_progress(f" {code[:5].upper()}-{code[5:]} ", "bob") == 2
    assert kept.progress("bob") == kept.progress("ada")
    assert kept.jobs("bob") == []
    kept.note_progress("bob", "pre_training", done=True)
    assert "pre_training" not in kept.progress("ada")


def test_taking_twice_or_ones_own_changes_nothing(kept: Store) -> None:
    kept.note_progress("ada", "fine_tuning", done=True)
    code = kept.progress_code("ada")
    assert kept.take_progress(code, "ada") == 0
    assert [kept.take_progress(code, "bob") for _ in range(2)] == [1, 0]


def test_done_wins_then_the_later(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.note_progress("ada", "fine_tuning", why="hers", done=True)
    kept.note_progress("ada", "pre_training", why="hers")
    later(monkeypatch, 10)
    kept.note_progress("bob", "fine_tuning", why="his")
    kept.note_progress("bob", "pre_training", why="his")
    assert kept.take_progress(kept.progress_code("ada"), "bob") == 1
    found = kept.progress("bob")
    assert (found["fine_tuning"].why, found["pre_training"].why) == ("hers", "his")


def test_a_wrong_code_and_an_old_one_say_what_to_do(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.note_progress("ada", "fine_tuning", done=True)
    code = kept.progress_code("ada")
    with pytest.raises(UserError, match="make a new one"):
        kept.take_progress("nothing", "bob")
    later(monkeypatch, CODE_SECONDS + 60)
    with pytest.raises(UserError, match="make a new one"):
        kept.take_progress(code, "bob")
    assert kept.progress_code("ada") != code


def test_an_older_database_gains_the_tables(kept: Store, tmp_path: Path) -> None:
    kept.close()
    with sqlite3.connect(tmp_path / "tlcore.sqlite") as connection:
        connection.execute("DROP TABLE progress")
        connection.execute("DROP TABLE progress_codes")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    again = Store()
    again.note_progress("ada", "fine_tuning", done=True)
    assert again.progress("ada")["fine_tuning"].done
    again.close()
    assert migrations.REVISIONS[:2] == ("0001", "0002")


def test_postgresql_gets_the_same_single_statement(kept: Store) -> None:
    class Connection:
        dialect = postgresql.dialect()

    values = {"owner": "ada", "lesson": "quiz", "done": False, "updated": 0.0}
    statement = str(store._upsert(Connection(), PROGRESS, values, {"done": True}).compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT (owner, lesson) DO UPDATE SET done" in statement


def test_many_writers_of_one_learner_do_not_collide(kept: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: kept.note_progress("ada", f"lesson_{at % 3}", why=str(at)), range(60)))
    assert len(kept.progress("ada")) == 3
    with open_database().reading() as connection:
        assert connection.execute(PROGRESS.select()).all()
