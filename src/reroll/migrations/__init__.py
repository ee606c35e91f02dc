"""Bring a database from any earlier version to the present one. Alembic is imported only when one must move."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection

__all__ = ["HERE", "upgrade"]

HERE = Path(__file__).parent
ONE_AT_A_TIME = threading.Lock()  # `alembic.op`, which every migration uses, is one object for the whole process


def upgrade(connection: Connection, version: str | None, head: str, version_table: str, folder: Path = HERE) -> None:
    """Every migration after `version` (None: all) up to `head` has run, inside the caller's transaction.

    Threads that bring several databases up at once take turns: else the tables of one would land in another.
    Uses Alembic's parts rather than its command, which would want an env.py and an ini file.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(folder))
    context = MigrationContext.configure(connection, opts={"version_table": version_table})
    steps = list(script.iterate_revisions(head, version or "base"))
    with ONE_AT_A_TIME, Operations.context(context):
        for step in reversed(steps):
            step.module.upgrade()
            context.stamp(script, step.revision)
