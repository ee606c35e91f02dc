"""An open database: opening, closing, and transactions whose errors are sentences."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from reroll import store_sqlite as sql
from reroll.errors import StoreError

__all__ = ["Database", "chunks", "new_id", "now_us"]

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u to be misread
CHUNK = 1000  # values per IN list; SQLite allows 32,766 parameters


class Database:
    """One open database, used by several threads at will."""

    def __init__(self, path: Path | None, busy_seconds: float) -> None:
        self.path = path
        self._engine = sql.connect(path, busy_seconds)
        self._readers = self._engine.execution_options(**sql.READ)
        self._writing = threading.RLock()
        # A file may be read while it is written; a database in memory is one connection for all.
        self._reading = self._writing if path is None else nullcontext()
        self._closed = False

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True, busy_seconds: float = 10.0) -> Self:
        """The store at a path, `sqlite:///path`, or ":memory:" (gone when closed).

        A new file is made (with its folders) unless `create` is False; an older version is
        backed up next to the file and migrated. Another process's lock is waited for `busy_seconds`.

        Raises: StoreError, one sentence.
        """
        path = _path(url)
        if path is not None and not os.path.exists(path):  # Path.exists raises where we may not look
            if not create:
                raise StoreError(f"there is no store at {path}; check --store or --project", slug="store-missing")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the folder {path.parent} of the store cannot be made ({error.strerror}); choose another --store",
                    slug="store-not-writable",
                ) from error
        store = cls(path, busy_seconds)
        try:
            with store._in_words():
                sql.prepare(store._engine, path, busy_seconds)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store {self.path or 'in memory'} was closed; open it again", slug="store-closed")
        try:
            yield
        except sql.ERRORS as error:
            raise sql.explain(error, self.path) from error

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._writing, self._in_words(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One unchanging view of the database, however many statements."""
        with self._reading, self._in_words(), self._readers.begin() as connection:
            yield connection


def _path(url: str | Path) -> Path | None:
    """The file that a path or URL names; None for a database in memory."""
    text = str(url)
    if text in (":memory:", "sqlite://"):
        return None
    if "://" not in text:
        return Path(url).expanduser()
    try:
        parsed = make_url(text)
    except ArgumentError:
        parsed = None
    # A host would be a path after one slash too few, and options would be ignored: both are refused.
    if parsed is None or parsed.drivername != "sqlite" or parsed.host or parsed.query:
        raise StoreError(
            "only SQLite stores can be used yet; give a path, sqlite:///path or :memory:", slug="store-unknown-kind"
        )
    return None if parsed.database in (None, "", ":memory:") else Path(str(parsed.database)).expanduser()


def now_us() -> int:
    return time.time_ns() // 1000


def new_id(prefix: str) -> str:
    """A short id that says nothing but can be pasted: 60 random bits."""
    number = secrets.randbits(60)
    return f"{prefix}_{''.join(ALPHABET[number >> shift & 31] for shift in range(0, 60, 5))}"


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
