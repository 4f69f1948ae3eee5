"""The database's schema through time; Alembic brings an older one up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002")
"""Every revision, oldest first; the last is what this version of the program works with."""


def configuration() -> Config:
    """Alembic's configuration, made here so that no `alembic.ini` has to travel with the package.

    Returns:
        The configuration, without a database.
    """
    from alembic.config import Config  # Alembic takes 0.1 s to import, and an up-to-date database never needs it

    config = Config()
    # The values pass through ConfigParser, to which a per cent sign means something.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection) -> None:
    """Bring a database up to the newest revision, all or nothing where the database can.

    Args:
        connection: An open connection inside a transaction, to a database that nobody else upgrades meanwhile.
    """
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])


__all__ = ["REVISIONS", "configuration", "upgrade"]
