"""Who said what is said of calls elsewhere, and when. Of what was kept before neither is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("scorer", sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("evaluations", sa.Column("said_us", sa.BigInteger))
