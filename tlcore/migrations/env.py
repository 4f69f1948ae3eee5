"""Alembic runs this file; the connection comes from `tlcore.migrations.upgrade`."""

from __future__ import annotations

from alembic import context

from tlcore.jobs.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite changes a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
