"""An open database: opening, closing, and transactions whose errors are sentences."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from reroll import store_postgres, store_sqlite
from reroll.errors import StoreError
from reroll.store_prefixes import Beginnings

__all__ = ["CHUNK", "MANY", "Database", "chunks", "new_id", "new_ids", "now_us"]

# Crockford's letters, with no i, l, o, u to be misread, in the place of those of RFC 4648.
CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")
CHUNK = 1000  # values per IN list; SQLite allows 32,766 parameters
MANY = 1000  # rows at once that are worth memory of their own, and ids that begin alike
ALIKE, A_BIT_ALIKE = 4, 2  # letters that ids made together share: of so many, and of fewer


class Database:
    """One open database, used by several threads at will."""

    def __init__(self, place: Path | URL | None, busy_seconds: float, rescue: Path | None = None) -> None:
        self._place = place
        self.path = place if isinstance(place, Path) else None
        self._sql: Any = store_postgres if isinstance(place, URL) else store_sqlite
        self._engine = self._sql.connect(place, busy_seconds)
        self._readers = self._engine.execution_options(**self._sql.READ)
        self._writing = threading.RLock()
        # Others may read while one writes; a database in memory is one connection for all.
        self._reading = self._writing if place is None else nullcontext()
        self._closed = False
        self._beginnings = Beginnings()
        self._rescue = rescue  # the file for what came back while the server was gone
        self._patience = busy_seconds  # how long we wait for a server that is gone
        self._opened: tuple[int, int] | None = None  # which file it is, where it is one

    @classmethod
    def open(
        cls, url: str | Path, *, create: bool = True, busy_seconds: float = 10.0, rescue: Path | None = None
    ) -> Self:
        """The store at a path, `sqlite:///path`, `postgresql://...`, or ":memory:" (gone when closed).

        A new file is made (with its folders) unless `create` is False; an older version is backed up next to the
        file and migrated (PostgreSQL: see `store_postgres.prepare`). Another process's lock, and a server that is
        gone, is waited for `busy_seconds`. `rescue`: a folder for what came back while a server was gone.

        Raises: StoreError, one sentence.
        """
        place = _place(url)
        if isinstance(place, Path) and not os.path.exists(place):  # Path.exists raises where we may not look
            _make_folder(place, create)
            _make_private(place)
        kept = None if rescue is None or not isinstance(place, URL) else rescue / f"unsent-{_digest(place)}.sqlite"
        store = cls(place, busy_seconds, kept)
        try:
            with store._in_words():
                if isinstance(place, URL):
                    store_postgres.prepare(store._engine, place, create)
                else:
                    store_sqlite.prepare(store._engine, place, busy_seconds)
        except BaseException:
            store.close()
            raise
        store._opened = None if store.path is None else _which(store.path)
        return store

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    def rest(self) -> None:
        """Connections to a file that nobody uses are closed, with the pages of it that they hold in memory.

        After batches of thousands that is up to 48 MiB for each. Whoever asks next opens one, in about a millisecond.
        """
        if self.path is not None and not self._closed:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """How messages call it: a path or a URL without password."""
        return store_postgres.name_of(self._place) if isinstance(self._place, URL) else str(self.path or "in memory")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store {self.name} was closed; open it again", slug="store-closed")
        if self._opened is not None and self.path is not None and _which(self.path) != self._opened:
            # What is written now would go into a file that nobody can open any more.
            raise StoreError(
                f"the store {self.path} was moved or removed while it was open; put it back, or start again without it",
                slug="store-missing",
            )
        try:
            yield
        except self._sql.ERRORS as error:
            raise self._sql.explain(error, self._place) from error

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._writing, self._in_words(), self._begun(self._engine) as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """One unchanging view of the database, however many statements."""
        with self._reading, self._in_words(), self._begun(self._readers) as connection:
            yield connection

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        """A transaction. A server that is gone is asked again while our patience lasts: nothing was sent yet."""
        until = time.monotonic() + self._patience
        while True:
            connection = None
            try:
                connection = engine.connect()
                transaction = connection.begin()
                break
            except BaseException as error:
                if connection is not None:
                    connection.close()
                if not self._sql.gone(error) or time.monotonic() >= until:
                    raise
                time.sleep(0.1)
        with connection, transaction:
            yield connection


def _which(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_folder(path: Path, create: bool) -> None:
    if not create:
        raise StoreError(f"there is no store at {path}; check --store or --project", slug="store-missing")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {path.parent} of the store cannot be made ({error.strerror}); choose another --store",
            slug="store-not-writable",
        ) from error


def _make_private(path: Path) -> None:
    """The file, empty, for its owner alone: it holds what customers wrote. SQLite gives its log the same rights.

    Where it cannot be made, SQLite says so in its own way.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _place(url: str | Path) -> Path | URL | None:
    """The file or server that a path or URL names; None for a database in memory."""
    text = str(url)
    if text in (":memory:", "sqlite://"):
        return None
    if "://" not in text:
        return Path(url).expanduser()
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is not None and (server := store_postgres.known_url(parsed)) is not None:
        return server
    # A host would be a path after one slash too few, and options would be ignored: both are refused.
    if parsed is None or parsed.drivername != "sqlite" or parsed.host or parsed.query:
        raise StoreError(
            "a store is a path, sqlite:///path, :memory: or postgresql://user@host/database, and nothing else",
            slug="store-unknown-kind",
        )
    return None if parsed.database in (None, "", ":memory:") else Path(str(parsed.database)).expanduser()


def _digest(url: URL) -> str:
    return hashlib.blake2b(store_postgres.name_of(url).encode(), digest_size=6).hexdigest()


def now_us() -> int:
    return time.time_ns() // 1000


def new_id(prefix: str) -> str:
    """A short id that says nothing but can be pasted: 60 random bits."""
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """So many of them, in the order of the alphabet: an index of random ids is filled far faster from one end.

    Several at once begin alike, thousands more so: they lie side by side in it, and a batch changes one page or some
    of the index instead of as many as it has rows. They are 60 random bits nevertheless, and never twice the same.
    """
    shared = _letters(1)[: ALIKE if count >= MANY else A_BIT_ALIKE] if count > 1 else ""
    found: set[str] = set()
    while missing := count - len(found):
        letters = _letters(missing)
        found.update([f"{prefix}_{shared}{letters[at + len(shared) : at + 12]}" for at in range(0, 12 * missing, 12)])
    return sorted(found)


def _letters(count: int) -> str:
    """At least 12 random letters for each."""
    return base64.b32encode(secrets.token_bytes(15 * (count // 2 + 1))).translate(CROCKFORD).decode()


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
