"""Jobs, their arms, points and records, and the workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("content_hash", sa.String(16), nullable=False),
        sa.Column("source_key", sa.String(200), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Index("ix_jobs_created", "created"),
        sa.Index("ix_jobs_state", "state"),
        sa.Index("ix_jobs_owner", "owner", "created"),
        sa.Index("ix_jobs_content", "content_hash", "state"),
    )
    op.create_table(
        "arms",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("strategy", sa.String(80), nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("fraction", sa.Double, nullable=False),
        sa.Column("cost", sa.String(16), nullable=False),
        sa.Column("worker", sa.String(32)),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Index("ix_arms_state", "state", "job_id", "ordinal"),
        sa.Index("ix_arms_cost", "cost", "state"),
    )
    op.create_table(
        "points",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("train_loss", sa.Double),
        sa.Column("train_accuracy", sa.Double, nullable=False),
        sa.Column("validation_accuracy", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "ordinal"], ["arms.job_id", "arms.ordinal"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "records",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arm_hash", sa.String(16), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["job_id", "ordinal"], ["arms.job_id", "arms.ordinal"], ondelete="CASCADE"),
        sa.Index("ix_records_arm", "arm_hash"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("host", sa.String(500), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("heartbeat", sa.Double, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("device", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    """Drop every table, with what is in it."""
    for name in ("workers", "records", "points", "arms", "jobs"):
        op.drop_table(name)
