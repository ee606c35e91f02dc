"""What a model can do is kept; samples know cached prompt tokens, and which completion of their call they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("samples", sa.Column("cached_tokens", sa.BigInteger))
    op.add_column("samples", sa.Column("choice", sa.Integer))
    op.create_table(
        "probes",
        sa.Column("seq", BIG, primary_key=True, autoincrement=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("probe", sa.Integer, nullable=False),
        sa.Column("capabilities", sa.Text, nullable=False),
        sa.Column("probed_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("probes_model", "probes", ["identity", "seq"])
