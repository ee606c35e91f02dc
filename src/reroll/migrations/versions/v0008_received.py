"""What exporters send: batches kept before they are acknowledged, calls that were taken once, and counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "received_batches",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("signal", "encoding", "packing", "sender", "state")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("spans", "broken", "refused", "size", "came_us")),
        sa.Column("worker", sa.Text),
        sa.Column("claimed_us", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("received_batches_state", "received_batches", ["state", "seq", "size", "spans"])
    op.create_table(
        "received_calls",
        sa.Column("key", sa.LargeBinary, nullable=False, primary_key=True),
        sa.Column("batch_seq", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "received_counts",
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("what", "why"),
        sqlite_with_rowid=False,
    )
