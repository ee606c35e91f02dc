"""What the pages need: findings, jobs and what they ask people, marks on reports, access tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ACTIVE = sa.text("state IN ('waiting', 'running')")


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("command", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("case_id", "program_id", "report_id", "sample_id", "job_id")),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("findings_case", "findings", ["case_id", "seq"])
    op.create_index("findings_report", "findings", ["report_id", "seq"])
    op.create_table(
        "jobs",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("key", "words", "title", "asked_by")),
        *(sa.Column(name, sa.Text) for name in ("token_id", "case_id", "report_id")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("asked_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in ("started_us", "beat_us", "stop_us", "ended_us")),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("finding_id", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("max_calls", sa.BigInteger),
        sa.Column("max_usd", sa.Float),
        sa.Column("usd", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_state", "jobs", ["state"])
    op.create_index("jobs_active", "jobs", ["key"], unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE)
    op.create_table(
        "job_questions",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("by", sa.Text),
        sa.Column("asked_us", sa.BigInteger, nullable=False),
        sa.Column("answered_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("job_id", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report_marks",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("report_id", "what", "value", "by")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("report_marks_report", "report_marks", ["report_id", "seq"])
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("max_usd", sa.Float),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
    )
