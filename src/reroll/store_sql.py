"""The few pieces of SQL that SQLite and PostgreSQL spell alike only through here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Insert, Table
from sqlalchemy.dialects.postgresql import insert  # SQLite says the same words
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["add_all", "add_up", "contains", "insert_new", "insert_or_change", "unindexed"]


def insert_new(table: Table) -> Insert:
    """INSERT that leaves out rows which break a uniqueness constraint; both databases say ON CONFLICT DO NOTHING."""
    return insert(table).on_conflict_do_nothing()


def insert_or_change(table: Table, key: Sequence[str], names: Sequence[str]) -> Insert:
    """INSERT in which a row whose `key` is there already changes that one's columns `names`."""
    adding = insert(table)
    return adding.on_conflict_do_update(index_elements=list(key), set_={name: adding.excluded[name] for name in names})


def add_up(table: Table, key: Sequence[str], sums: Sequence[str], newest: Sequence[str]) -> Insert:
    """INSERT that, where there is a row with this key, adds to its `sums` and renews what is to be the newest."""
    adding = insert(table)
    added = {name: table.c[name] + adding.excluded[name] for name in sums}
    return adding.on_conflict_do_update(
        index_elements=list(key), set_={**added, **{name: adding.excluded[name] for name in newest}}
    )


MOST_VALUES = 32_000  # in one statement of SQLite's, which takes 32,766
FEWEST = 32  # rows for which a statement of their own is worth while
_texts: dict[tuple[Insert, str], tuple[str, tuple[str, ...] | None]] = {}  # statements as each database spells them


def add_all(connection: Connection, statement: Insert, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows that all have the same names; values are such as the driver takes (numbers, text, bytes, None).

    Goes to the driver directly: SQLAlchemy works on every value of every row, which costs more than SQLite does.
    Returns how many were inserted.
    """
    known = _texts.get((statement, connection.dialect.name))
    if known is None:
        compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
        names = tuple(compiled.positiontup or ()) if compiled.positional else None
        known = _texts[statement, connection.dialect.name] = str(compiled), names
    text, names = known
    if names is None:
        return connection.exec_driver_sql(text, [dict(row) for row in rows]).rowcount
    values = list(map(itemgetter(*names), rows))
    added, at = 0, 0
    for size, many in _larger(text, len(names), len(values)):
        added += connection.exec_driver_sql(many, tuple(chain.from_iterable(values[at : at + size]))).rowcount
        at += size
    return added + (connection.exec_driver_sql(text, values[at:]).rowcount if at < len(values) else 0)


def _larger(text: str, width: int, rows: int) -> Iterator[tuple[int, str]]:
    """Statements for many rows each, and for how many, as far as that is worth while; the rest is up to `text`.

    Python's other threads run during a statement of SQLite's. After each row of an `executemany` the driver would
    want Python's lock back, and wait for it up to 5 ms where others compute.
    """
    begin, values, end = text.partition(f"({', '.join('?' * width)})")
    size = 1 << (MOST_VALUES // width).bit_length() - 1  # powers of two: few statements, which SQLite keeps prepared
    while values and size >= FEWEST:
        if size > rows:
            size //= 2
            continue
        yield size, f"{begin}{', '.join([values] * size)}{end}"
        rows -= size


class unindexed(FunctionElement[Any]):
    """The column, hidden from SQLite's choice of an index: it always prefers equality, however many rows are equal."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.type = column.type
        super().__init__(column)


@compiles(unindexed)
def _hidden(element: unindexed, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(unindexed, "postgresql")
def _as_it_is(element: unindexed, compiler: Any, **options: Any) -> str:
    return f"{compiler.process(element.clauses, **options)}"


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
