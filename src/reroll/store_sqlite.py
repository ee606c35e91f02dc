"""All that the store knows of SQLite: connecting, errors in words, versions."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from reroll import migrations, store_schema
from reroll.errors import StoreError

__all__ = ["ERRORS", "READ", "WALKS", "connect", "expect_many", "explain", "flush", "gone", "prepare"]

ERRORS = (DBAPIError, sqlite3.Error)  # what `explain` explains
READ = {"reroll_begin": "BEGIN"}  # execution options of a connection that only reads
CACHE_KIB = 48 * 2**10  # pages of the file that a connection with much to write may hold
LOG_PAGES = 64_000  # in the write-ahead log, before it is copied into the file: 256 MiB
IDLE = 3  # connections that are kept for the next who asks, each with up to 2 MiB of pages and 128 statements
WALKS = True  # counts runs of an index faster than it groups them


def connect(path: Path | None, busy_seconds: float) -> Engine:
    """An engine whose every transaction takes the write lock at once, unless opened with READ.

    Taking it at the first write instead would make two processes that read, then write, fail with
    "database is locked" without any waiting. `path` None is a database in memory.

    There are as many connections as threads ask for at once; then all but `IDLE` are closed, and of those the one that
    was used last is used next. Otherwise each takes its turn and fills, and a server grows for hours.
    """
    url = URL.create("sqlite", database=":memory:" if path is None else str(path))
    arguments = {"timeout": busy_seconds, "check_same_thread": False}
    pool: dict[str, Any] = (
        {"poolclass": StaticPool} if path is None else {"pool_size": IDLE, "max_overflow": -1, "pool_use_lifo": True}
    )
    engine = create_engine(url, connect_args=arguments, **pool)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("reroll_begin", "BEGIN IMMEDIATE"))

    return engine


def expect_many(connection: Connection) -> None:
    """What is written into all parts of large indices is held in memory, and copied into the file less often.

    A batch changes a part of nearly every page of them, however small it is. The memory is the connection's, until it
    is closed.
    """
    connection.exec_driver_sql(f"PRAGMA cache_size = {-CACHE_KIB}")
    connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")


def gone(_: BaseException) -> bool:
    """A file does not come and go."""
    return False


def flush(path: Path | None) -> None:
    """What was committed is on the disk, not only with the operating system. Raises: sqlite3.Error where it is not.

    Committing in WAL mode with synchronous=NORMAL leaves that to the next checkpoint, which syncs before it moves on.
    """
    if path is None:
        return
    try:
        log = os.open(f"{path}-wal", os.O_RDONLY)
    except FileNotFoundError:  # a checkpoint moved it all into the file, synced
        return
    try:
        os.fsync(log)
    except OSError as error:
        failed = sqlite3.OperationalError(f"disk I/O error: {error.strerror}")
        failed.sqlite_errorname = "SQLITE_IOERR"
        raise failed from None
    finally:
        os.close(log)


# -- errors ------------------------------------------------------------------------------------------------------------

WORDS = {  # SQLite's error name, or its beginning -> slug, what is wrong, what to do
    "SQLITE_BUSY": ("store-locked", "is locked by another process", "wait for it or stop it, then try again"),
    "SQLITE_LOCKED": ("store-locked", "is locked by another process", "wait for it or stop it, then try again"),
    "SQLITE_FULL": ("store-full", "cannot grow, the disk is full", "free some space; all that was stored is intact"),
    "SQLITE_NOTADB": ("store-not-a-database", "is not a database", "move it away or choose another --store"),
    "SQLITE_CORRUPT": (
        "store-damaged",
        "is damaged",
        "restore a copy, or save what is left with `sqlite3 FILE .recover`",
    ),
    "SQLITE_CANTOPEN": (
        "store-not-writable",
        "cannot be opened or made",
        "check that its folder exists and is writable",
    ),
    "SQLITE_READONLY": ("store-not-writable", "cannot be written", "make the file and its folder writable"),
    "SQLITE_PERM": ("store-not-writable", "cannot be written", "make the file and its folder writable"),
    "SQLITE_IOERR": ("store-disk", "cannot be read or written, the disk reports an error", "check the disk"),
}


def explain(error: DBAPIError | sqlite3.Error, path: Path | None) -> StoreError:
    """The error as one sentence: which file, what is wrong, what to do."""
    original = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(original, "sqlite_errorname", "")
    where = f"the store {path or 'in memory'}"
    for start, (slug, problem, remedy) in WORDS.items():
        if name.startswith(start):
            return StoreError(f"{where} {problem}; {remedy}", slug=slug)
    return StoreError(f"{where} failed with `{original}`; please report this", slug="store")


# -- versions ----------------------------------------------------------------------------------------------------------


def version_of(connection: Connection) -> str | None:
    """The schema version, None for an empty database. Raises: StoreError for another program's database."""
    tables = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if store_schema.VERSION_TABLE in tables:
        return str(connection.exec_driver_sql(f"SELECT version_num FROM {store_schema.VERSION_TABLE}").scalar_one())
    if tables - {"sqlite_sequence"}:
        raise StoreError(
            f"the database {connection.engine.url.database} belongs to another program; choose another --store",
            slug="store-not-a-database",
        )
    return None


def prepare(engine: Engine, path: Path | None, busy_seconds: float) -> None:
    """Bring the database to the present version: made if new, backed up and migrated if older.

    Raises: StoreError if it is newer or not ours; DBAPIError as SQLite reports it.
    """
    with engine.connect().execution_options(**READ) as connection:
        if store_schema.known(version_of(connection), path) == store_schema.VERSIONS[-1]:
            return
    use_wal(engine, busy_seconds)
    with engine.begin() as connection:
        version = store_schema.known(version_of(connection), path)  # again: another process may have been faster
        if version == store_schema.VERSIONS[-1]:
            return
        if version is None:
            store_schema.make(connection)
            return
        if path is not None:
            back_up(path, version)
        migrations.upgrade(connection, version, store_schema.VERSIONS[-1], store_schema.VERSION_TABLE, migrations.HERE)


def use_wal(engine: Engine, busy_seconds: float) -> None:
    """Switch to write-ahead logging, which the file then remembers.

    SQLite does not wait for locks while switching, so when several processes make one file we must.
    """
    deadline = time.monotonic() + busy_seconds
    connection = engine.raw_connection()
    try:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()


def back_up(path: Path, version: str) -> Path:
    """A whole copy next to the database, `NAME.backup-VERSION.sqlite`; an earlier one stays.

    Made by SQLite itself, because part of the data is still in the write-ahead log.
    """
    copies = (path.with_name(f"{path.stem}.backup-{version}{f'-{n}' if n else ''}.sqlite") for n in range(1000))
    to = next(copy for copy in copies if not copy.exists())
    part = to.with_name(f"{to.name}.{os.getpid()}.part")
    with suppress(OSError):  # for its owner alone, as the store is; what is in the way, SQLite says
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
    part.rename(to)
    return to
