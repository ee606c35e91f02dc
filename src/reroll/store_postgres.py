"""All that the store knows of PostgreSQL: connecting, errors in words, versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, OperationalError

from reroll import migrations, store_schema
from reroll.errors import StoreError
from reroll.settings import setting

__all__ = [
    "ERRORS",
    "READ",
    "WALKS",
    "connect",
    "expect_many",
    "explain",
    "flush",
    "gone",
    "known_url",
    "name_of",
    "prepare",
]

ERRORS = (DBAPIError,)  # what `explain` explains
# Execution options of a connection that only reads: one unchanging view, and no lock.
READ = {"reroll_reads": True, "isolation_level": "REPEATABLE READ"}
WALKS = False
# Whoever writes holds this lock to the end of the transaction, as SQLite's writers do. So `seq` is given out in
# the order in which transactions commit, and whoever asks for what came after a `seq` misses nothing.
LOCK = "SELECT pg_advisory_xact_lock(19779, hashtext(current_schema()))"
CONNECT_SECONDS = 5
KINDS = ("postgres", "postgresql", "postgresql+psycopg")


def known_url(url: URL) -> URL | None:
    """The URL with the driver that we use; None if it is no PostgreSQL's."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in KINDS else None


def name_of(url: URL) -> str:
    """How messages call the store: never with a password or options."""
    return url.set(drivername="postgresql", password=None, query={}).render_as_string()


def connect(url: URL, busy_seconds: float) -> Engine:
    """An engine whose every transaction takes the writers' lock at once, unless opened with READ."""
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,  # a server that was restarted costs a new connection, no error
            pool_size=5,
            max_overflow=-1,  # as many as threads ask
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "reroll"},
        )
    except ModuleNotFoundError:
        raise StoreError(
            f"the store {name_of(url)} needs a driver for PostgreSQL; install it with pip install 'reroll[postgres]'",
            slug="store-driver",
        ) from None

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {max(1, round(busy_seconds * 1000))}")
        connection.autocommit = False

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("reroll_reads"):
            connection.exec_driver_sql(LOCK)

    return engine


def flush(_: URL) -> None:
    """What was committed is on the server's disk: it says so only then."""


# -- errors ------------------------------------------------------------------------------------------------------------

WORDS = {  # the beginning of an SQLSTATE -> slug, what is wrong, what to do
    "55P03": ("store-locked", "is locked by another process", "wait for it or stop it, then try again"),
    "53100": ("store-full", "cannot grow, the disk is full", "free some space; all that was stored is intact"),
    "42501": ("store-not-writable", "cannot be written by this user", "ask its owner for the rights"),
    "25006": ("store-not-writable", "cannot be written, it is read-only", "connect to the primary server"),
    "28": ("store-refused", "refuses this user or password", "check the URL, PGPASSWORD or ~/.pgpass"),
    "3D000": ("store-missing", "does not exist", "make the database with `createdb`, or check --store"),
    "XX001": ("store-damaged", "is damaged", "restore a copy"),
    "XX002": ("store-damaged", "is damaged", "restore a copy"),
}
REFUSED = ("authentication failed", "no password supplied", "pg_hba.conf", "role ")
GONE = ("08", "57P01", "57P02", "57P03", "53300")  # no connection, shut down, starting up, none free


def _state(error: DBAPIError) -> str:
    """The SQLSTATE; where a connection failed the driver knows none, and its words must do."""
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return str(state)
    words = str(error.orig)
    if any(part in words for part in REFUSED):
        return "28000"
    if "database" in words and "does not exist" in words:
        return "3D000"
    return "08000" if error.connection_invalidated or isinstance(error, OperationalError) else ""


def expect_many(_: Connection) -> None:
    """The server has memory of its own."""


def gone(error: BaseException) -> bool:
    """Whether the server cannot be reached now, but may come back."""
    return isinstance(error, DBAPIError) and _state(error).startswith(GONE)


def explain(error: BaseException, url: URL) -> StoreError:
    """The error as one sentence: which store, what is wrong, what to do."""
    where = f"the store {name_of(url)}"
    if not isinstance(error, DBAPIError):
        return StoreError(f"{where} failed with `{error}`; please report this", slug="store")
    words = " ".join(str(error.orig).split("\n")[0].split())
    if gone(error):
        return StoreError(
            f"{where} cannot be reached ({words}); all that was stored is intact, try again when the server is back",
            slug="store-gone",
        )
    for start, (slug, problem, remedy) in WORDS.items():
        if _state(error).startswith(start):
            return StoreError(f"{where} {problem}; {remedy}", slug=slug)
    return StoreError(f"{where} failed with `{words}`; please report this", slug="store")


# -- versions ----------------------------------------------------------------------------------------------------------


def version_of(connection: Connection) -> str | None:
    """The schema version, None for an empty schema. Raises: StoreError for another program's tables."""
    tables = set(inspect(connection).get_table_names())
    if store_schema.VERSION_TABLE in tables:
        return str(connection.exec_driver_sql(f"SELECT version_num FROM {store_schema.VERSION_TABLE}").scalar_one())
    if tables:
        raise StoreError(
            f"the database {name_of(connection.engine.url)} has tables of another program; give reroll a database of "
            "its own",
            slug="store-not-a-database",
        )
    return None


def prepare(engine: Engine, url: URL, create: bool) -> None:
    """Bring the database to the present version: made if empty, migrated if older and REROLL_MIGRATE=1 says so.

    Raises: StoreError if it is newer, not ours, or older and nobody said that it may be migrated.
    """
    newest = store_schema.VERSIONS[-1]
    with engine.connect().execution_options(**READ) as connection, connection.begin():
        version = store_schema.known(version_of(connection), name_of(url))
    if version == newest:
        return
    if version is None and not create:
        raise StoreError(f"there is no store in {name_of(url)}; check --store", slug="store-missing")
    with engine.begin() as connection:
        version = store_schema.known(
            version_of(connection), name_of(url)
        )  # again: another process may have been faster
        if version == newest:
            return
        if version is None:
            store_schema.make(connection)
            return
        if not setting("migrate"):
            raise StoreError(
                f"the store {name_of(url)} has version {version} and this reroll wants {newest}, which others cannot "
                f"read; back it up with `pg_dump --format=custom --file=reroll-{version}.dump {name_of(url)}`, then "
                "run this once with REROLL_MIGRATE=1",
                slug="store-older",
            )
        migrations.upgrade(connection, version, newest, store_schema.VERSION_TABLE, migrations.HERE)
