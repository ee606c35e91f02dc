"""The few pieces of SQL that SQLite and PostgreSQL spell alike only through here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, Insert, Table
from sqlalchemy.dialects.postgresql import insert  # SQLite says the same words
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["contains", "insert_new"]


def insert_new(table: Table) -> Insert:
    """INSERT that leaves out rows which break a uniqueness constraint; both databases say ON CONFLICT DO NOTHING."""
    return insert(table).on_conflict_do_nothing()


class contains(FunctionElement[bool]):
    """Exact, case-sensitive containment (LIKE would ignore case in SQLite, and refuse long patterns)."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], words: str) -> None:
        super().__init__(column, words)


@compiles(contains)
def _anywhere(element: contains, compiler: Any, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"


@compiles(contains, "postgresql")
def _postgresql(element: contains, compiler: Any, **options: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **options)}) > 0)"
