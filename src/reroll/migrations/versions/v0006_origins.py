"""Where an imported sample was made: the trace and span of its call, and the server's own name for the answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.create_table(
        "origins",
        sa.Column("sample_id", sa.Text, nullable=False, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("trace", "span", "response")),
        sqlite_with_rowid=False,
    )
