"""What is said of calls elsewhere, with or without its call, and finding a call by where it was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("key", sa.LargeBinary, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("trace", "span", "response", "name", "label")),
        sa.Column("score", sa.Float),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("sample_id", sa.Text),
        sa.Column("came_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("evaluations_call", "evaluations", ["trace", "span"])
    op.create_index("evaluations_response", "evaluations", ["response"])
    op.create_index("evaluations_sample", "evaluations", ["sample_id"])
    op.create_index("origins_call", "origins", ["trace", "span"])
    op.create_index("origins_response", "origins", ["response"])
