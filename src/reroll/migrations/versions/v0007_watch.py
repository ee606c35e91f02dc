"""What watching production needs: how far it looked, its streams, their alarms, and what is told of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("history", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("began_us", sa.BigInteger, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "watch_streams",
        sa.Column("watch", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("named", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("watch", "key"),
    )
    op.create_table(
        "watch_alarms",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("watch", "stream", "kind", "state")),
        sa.Column("body", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("report_id", "job_id", "job")),
        sa.Column("raised_us", sa.BigInteger, nullable=False),
        sa.Column("resolved_us", sa.BigInteger),
        sa.Column("claimed_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("watch_alarms_state", "watch_alarms", ["watch", "state"])
    op.create_table(
        "watch_posts",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("watch", "body", "state")),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_us", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("made_us", sa.BigInteger, nullable=False),
        sa.Column("sent_us", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("watch_posts_state", "watch_posts", ["watch", "state", "seq"])
