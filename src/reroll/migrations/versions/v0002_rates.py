"""Long texts may be packed; outcomes know the variant and source of their sample, with an index to count by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.add_column("samples", sa.Column("long_text", sa.LargeBinary))
    op.add_column("outcomes", sa.Column("variant", sa.Text))
    op.add_column("outcomes", sa.Column("source", sa.Text))
    for name in ("variant", "source"):
        op.execute(f"UPDATE outcomes SET {name} = (SELECT {name} FROM samples WHERE samples.id = outcomes.sample_id)")
    op.create_index("outcomes_rates", "outcomes", ["checks_id", "source", "variant", "outcome"])
