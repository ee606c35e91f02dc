"""What Slack needs: events taken once, what was asked for in which thread, messages kept until Slack has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "slack_events",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "ts", "kind", "body")),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("done_us", sa.BigInteger),
        sa.UniqueConstraint("channel", "ts", "kind"),
        sqlite_autoincrement=True,
    )
    op.create_index("slack_events_open", "slack_events", ["done_us"])
    op.create_table(
        "slack_asks",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False, unique=True) for name in ("id", "cause")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "thread", "asked_by", "what", "state")),
        *(sa.Column(name, sa.Text) for name in ("case_id", "report_id", "job_id")),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("max_usd", sa.Float),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sa.Column("started_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("slack_asks_thread", "slack_asks", ["channel", "thread", "seq"])
    op.create_index("slack_asks_state", "slack_asks", ["state"])
    op.create_index("slack_asks_report", "slack_asks", ["report_id"])
    op.create_table(
        "slack_outbox",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "method", "body", "state")),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_us", sa.BigInteger, nullable=False),
        sa.Column("ts", sa.Text),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sa.Column("sent_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("slack_outbox_state", "slack_outbox", ["state", "seq"])
