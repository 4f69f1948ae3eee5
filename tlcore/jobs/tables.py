"""The database's tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()
PREPARATION = -1
"""Ordinal of the unit that trains a job's source model; the arms count from 0."""

# Moments are seconds since 1970 (UTC): every database stores and compares them alike, without time zones.
JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("experiment", Text, nullable=False),
    Column("content_hash", String(16), nullable=False),
    Column("source_key", String(200), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("message", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Index("ix_jobs_created", "created"),
    Index("ix_jobs_state", "state"),
    Index("ix_jobs_owner", "owner", "created"),
    Index("ix_jobs_content", "content_hash", "state"),
)
ARMS = Table(
    "arms",
    METADATA,
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("strategy", String(80), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("text", Text, nullable=False),
    Column("fraction", Double, nullable=False),
    Column("cost", String(16), nullable=False),
    Column("worker", String(32)),
    Column("started", Double),
    Column("finished", Double),
    Index("ix_arms_state", "state", "job_id", "ordinal"),
    Index("ix_arms_cost", "cost", "state"),
)
POINTS = Table(
    "points",
    METADATA,
    Column("job_id", String(32), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("seconds", Double, nullable=False),
    Column("train_loss", Double),
    Column("train_accuracy", Double, nullable=False),
    Column("validation_accuracy", Double, nullable=False),
    ForeignKeyConstraint(["job_id", "ordinal"], ["arms.job_id", "arms.ordinal"], ondelete="CASCADE"),
    # A page reads all points of one job: stored in key order they are one stretch of the file.
    sqlite_with_rowid=False,
)
RECORDS = Table(
    "records",
    METADATA,
    Column("job_id", String(32), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("arm_hash", String(16), nullable=False),
    Column("record", Text, nullable=False),
    ForeignKeyConstraint(["job_id", "ordinal"], ["arms.job_id", "arms.ordinal"], ondelete="CASCADE"),
    Index("ix_records_arm", "arm_hash"),
)
WORKERS = Table(
    "workers",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("host", String(500), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("device", String(200), nullable=False),
)
PROGRESS = Table(
    "progress",
    METADATA,
    Column("owner", String(200), primary_key=True),
    Column("lesson", String(80), primary_key=True),
    # Predictions and answers are JSON.
    Column("prediction", Text),
    Column("run", String(32)),
    Column("change", String(32)),
    Column("why", String(80)),
    Column("answers", Text),
    Column("done", Boolean, nullable=False),
    Column("updated", Double, nullable=False),
)
PROGRESS_CODES = Table(
    "progress_codes",
    METADATA,
    Column("owner", String(200), primary_key=True),
    Column("code", String(10), nullable=False, unique=True),
    Column("created", Double, nullable=False),
)
