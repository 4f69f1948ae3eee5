"""Opening the database: one engine a process and address, its schema up to date, its errors in plain words."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from tlcore.errors import UserError
from tlcore.home import home
from tlcore.lock import FileLock
from tlcore.migrations import REVISIONS, upgrade

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import URL, Connection, Engine

_databases: dict[str, Database] = {}
_opening = threading.Lock()


def default_url() -> str:
    """Address of the database: `TLCORE_DATABASE_URL`, else an SQLite file in `home`."""
    return os.environ.get("TLCORE_DATABASE_URL") or f"sqlite:///{home() / 'tlcore.sqlite'}"


def open_database(url: str | None = None) -> Database:
    """Open a database, or find it again if this process has opened it before.

    Args:
        url: SQLAlchemy's address of it; None for `default_url`.

    Returns:
        The database, its schema up to date.

    Raises:
        UserError: If it cannot be opened, is damaged, or was made by a newer version of this program.
    """
    address = url or default_url()
    with _opening:
        if address not in _databases:
            _databases[address] = Database(address)
        return _databases[address]


class Database:
    """An engine with two kinds of transaction: `reading` and `writing`.

    Args:
        url: SQLAlchemy's address of it.

    Raises:
        UserError: If it cannot be opened, is damaged, or was made by a newer version of this program.
    """

    def __init__(self, url: str) -> None:
        try:
            address = make_url(url)
            self._engine = create_engine(address)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise UserError(
                f"TLCORE_DATABASE_URL cannot be used ({error}): give an address such as sqlite:////path/to/file "
                "or postgresql+psycopg://user@host/name, and install that database's driver"
            ) from None
        # Without the password.
        self._place = address.database or "memory" if _is_sqlite(address) else str(address)
        if _is_sqlite(address):
            _prepare_sqlite(self._engine)
        self._writer = self._engine.execution_options(tlcore_writes=True)
        # Several processes open at once; only one may make or change tables, and the others then find it done.
        beside = Path(self._place) if _is_sqlite(address) and address.database else home() / "database"
        try:
            with FileLock(beside.with_name(beside.name + ".lock")):
                self._bring_up_to_date()
        except OSError as error:
            raise UserError(
                f"cannot write to {beside.parent} ({error.strerror}): set TLCORE_HOME to a folder that can be written"
            ) from None
        except UserError:
            self._engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A transaction that only reads: everything in it sees one moment."""
        with self._in_plain_words(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that writes, kept if the block ends well and undone if it does not."""
        with self._in_plain_words(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection and forget the engine; the next `open_database` opens anew."""
        self._engine.dispose()
        with _opening:
            for address in [address for address, database in _databases.items() if database is self]:
                del _databases[address]

    def _bring_up_to_date(self) -> None:
        # Plain SQL first: an up-to-date database, which is nearly every one, then never needs Alembic.
        with self.reading() as connection:
            revision = None
            if inspect(connection).has_table("alembic_version"):
                revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if revision == REVISIONS[-1]:
            return
        if revision is not None and revision not in REVISIONS:
            raise UserError(
                f"the database {self._place} was made by a newer version of tlcore (schema {revision}, this version "
                f"knows {REVISIONS[-1]}): update tlcore, or set TLCORE_HOME to another folder"
            )
        with self.writing() as connection:
            upgrade(connection)

    @contextmanager
    def _in_plain_words(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            message = explain(str(error.orig), self._place)
            if message is None:
                raise
            raise UserError(message) from error


def explain(problem: str, place: str) -> str | None:
    """Say what a database's error means to the person at the keyboard.

    Args:
        problem: The driver's words.
        place: The database.

    Returns:
        One line that ends in what to do, or None if the error is this program's own fault.
    """
    words = problem.lower()
    if "not a database" in words or "malformed" in words or "file is encrypted" in words:
        return f"the database {place} is damaged ({problem}): move it away, and a new one is made at the next start"
    if "readonly" in words or "read-only" in words or "unable to open" in words:
        return f"the database {place} cannot be written ({problem}): free it, or set TLCORE_HOME to another folder"
    if "full" in words or "disk i/o" in words:
        return f"the database {place} cannot be written ({problem}): free space on the disk"
    if "locked" in words:
        return f"the database {place} is held by another program ({problem}): close that program"
    if "connection" in words or "password" in words or "does not exist" in words:
        return f"the database {place} cannot be reached ({problem}): check TLCORE_DATABASE_URL and the server"
    return None


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        # The driver's own BEGINs are off: they come too late for the reads of a transaction that goes on to write.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 10000")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A writer takes the write lock at once: taken later, it could meet a change made in between and fail.
        writes = connection.get_execution_options().get("tlcore_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
