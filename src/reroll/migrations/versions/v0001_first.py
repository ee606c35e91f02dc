"""The first tables. What each column means: store_schema.py."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    what_was_asked()
    what_came_back()
    what_was_concluded()


def what_was_asked() -> None:
    op.create_table(
        "programs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("put_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("content_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("put_us", sa.BigInteger, nullable=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", "version"),
    )
    op.create_table(
        "reports",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("program_id", sa.Text),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("put_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary),
        sa.Column("put_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "series",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("next_index", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "series"),
    )


def what_came_back() -> None:
    op.create_table(
        "samples",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("idx", sa.BigInteger, nullable=False),
        sa.Column("program_id", sa.Text, nullable=False),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("settled_us", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("text", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("tool_calls", sa.Text),
        sa.Column("refusal", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("reward", sa.Float),
        sa.Column("seed", sa.BigInteger),
        sa.Column("model", sa.Text),
        sa.Column("fingerprint", sa.Text),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("usd", sa.Float),
        sa.Column("exact", sa.Text),
        sa.UniqueConstraint("request_id", "series", "idx", name="samples_slot"),
        sqlite_autoincrement=True,
    )
    op.create_index("samples_case", "samples", ["case_id", "program_id"])
    op.create_index("samples_program", "samples", ["program_id"])
    op.create_table(
        "payloads",
        sa.Column("seq", BIG, sa.ForeignKey("samples.seq"), primary_key=True, autoincrement=False),
        sa.Column("tokens", sa.LargeBinary),
        sa.Column("raw", sa.LargeBinary),
    )
    op.create_table(
        "attempts",
        sa.Column("seq", BIG, sa.ForeignKey("samples.seq"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("waited", sa.Float, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("server_id", sa.Text),
        sa.PrimaryKeyConstraint("seq", "n"),
        sqlite_with_rowid=False,
    )


def what_was_concluded() -> None:
    op.create_table(
        "checks",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("first_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("sample_id", sa.Text, sa.ForeignKey("samples.id"), nullable=False),
        sa.Column("checks_id", sa.Text, nullable=False),
        sa.Column("check_name", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("marks", sa.Text),
        sa.Column("judged_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sample_id", "checks_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decisions",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("alpha", sa.Float),
        sa.Column("target", sa.Float),
        sa.Column("reference_rate", sa.Float),
        sa.Column("horizon", sa.BigInteger),
        sa.Column("stop_reason", sa.Text),
        sa.Column("program_id", sa.Text),
        sa.Column("case_id", sa.Text),
        sa.Column("checks_ids", sa.Text, nullable=False),
        sa.Column("samples", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
