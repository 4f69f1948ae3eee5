"""How far each learner is in the course, and the codes that carry it to another browser."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "progress",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("lesson", sa.String(80), primary_key=True),
        sa.Column("prediction", sa.Text),
        sa.Column("run", sa.String(32)),
        sa.Column("change", sa.String(32)),
        sa.Column("why", sa.String(80)),
        sa.Column("answers", sa.Text),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_table(
        "progress_codes",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("code", sa.String(10), nullable=False, unique=True),
        sa.Column("created", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the two tables, with what is in them."""
    for name in ("progress_codes", "progress"):
        op.drop_table(name)
