"""The store when processes die, disks fill up, files are foreign or old, and others hold the lock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect
from starlette.testclient import TestClient

from reroll import migrations, store_schema
from reroll.check import Outcome
from reroll.cli import main
from reroll.errors import StoreError, UsageError
from reroll.init import init_project
from reroll.sample import Attempt, Completion, Sample, Token, Usage
from reroll.store import NewSample, Rates, Spend, Store
from reroll.store_base import _make_folder, _make_private, _place
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home
from reroll.web.passes import Passes
from tests.older import add_rows, has_what_was_added

PLACE: dict[str, Any] = {"request_id": "r1:0", "series": "rerun", "program_id": "p1:0", "case_id": "a"}

WRITER = """
import sys
from reroll.sample import Attempt, Completion, Sample
from reroll.store import NewSample, Store

with Store.open(sys.argv[1]) as store:
    for _ in range(int(sys.argv[2])):
        places = store.reserve("r1:0", "rerun", 5)
        sample = Sample(Completion("x" * 2000), attempts=(Attempt(1.0, 0.5, 200),), raw="{}")
        new = [NewSample(sample, "r1:0", "rerun", idx, "p1:0", "a") for idx in places]
        place = {"request_id": "r1:0", "series": "rerun", "program_id": "p1:0", "case_id": "a"}
        ids = [store.add_sample(sample, idx=places[0], **place)]
        ids += store.add_samples(new[1:])
        print(*(f"{idx}={id}" for idx, id in zip(places, ids)), flush=True)
"""


def writer(path: Path, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged(lines: str) -> dict[int, str]:
    """What a writer said that it stored: id by index. A line cut by a kill counts as not said."""
    whole = [line for line in lines.splitlines(keepends=True) if line.endswith("\n")]
    return {int(idx): id for line in whole for idx, id in (word.split("=") for word in line.split())}


def fill(path: Path, count: int = 3) -> list[str]:
    with Store.open(path) as store:
        return store.add_samples([NewSample(Sample(Completion(f"c{i}")), idx=i, **PLACE) for i in range(count)])


def check(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA quick_check").fetchone()[0])
    finally:
        connection.close()


def one_sentence(error: BaseException) -> bool:
    text = str(error)
    return "\n" not in text and ". " not in text and "Traceback" not in text and len(text) < 400


# -- several processes, some of which die ------------------------------------------------------------------------------


def test_two_processes_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    both = [writer(path, 100), writer(path, 100)]  # neither finds a database: they also make it together
    outs = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], outs
    said = [acknowledged(out) for out, _ in outs]
    assert len(said[0]) == len(said[1]) == 500
    with Store.open(path) as store:
        found = store.samples(payload=True)
    assert {s.idx: s.id for s in found} == said[0] | said[1]
    assert sorted(s.idx for s in found) == list(range(1000))
    assert all(len(s.sample.attempts) == 1 and s.sample.raw == "{}" for s in found)


def test_making_a_store_waits_while_another_process_is_making_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.close()

    monkeypatch.setattr("reroll.store_sqlite.time.sleep", wait)
    Store.open(path).close()
    assert len(waits) == 3


def test_threads_that_migrate_several_stores_at_once_put_every_table_into_its_own(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.sqlite" for n in range(8)]
    for path in paths:
        blank_store(path, "0001")
    start = threading.Barrier(len(paths))
    failed: list[BaseException] = []

    def migrate(path: Path) -> None:
        start.wait()
        try:
            Store.open(path).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=migrate, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for path in paths:
        with closing(sqlite3.connect(path)) as made:
            tables = {name for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables >= set(store_schema.metadata.tables), path


@pytest.mark.parametrize("after", [1, 7, 30])
def test_killing_a_writer_loses_no_acknowledged_sample_and_no_index_is_used_twice(tmp_path: Path, after: int) -> None:
    path = tmp_path / "store.sqlite"
    process = writer(path, 100_000)
    assert process.stdout is not None
    lines = "".join(process.stdout.readline() for _ in range(after))
    process.send_signal(signal.SIGKILL)
    said = acknowledged(lines + process.communicate()[0])
    assert process.returncode == -signal.SIGKILL
    assert check(path) == "ok"
    with Store.open(path) as store:
        found = store.samples()
        assert said.items() <= {s.idx: s.id for s in found}.items()
        assert all(len(s.sample.attempts) == 1 for s in found)
        fresh = store.reserve("r1:0", "rerun", 5)
    assert fresh[0] > max(s.idx for s in found)
    assert fresh[0] % 5 == 0  # the dead writer's reservation stays its own


@pytest.mark.parametrize("where", ["store.sqlite", ":memory:"])
def test_threads_may_share_one_store(tmp_path: Path, where: str) -> None:
    failed: list[BaseException] = []
    with Store.open(where if where == ":memory:" else tmp_path / where) as store:

        def work() -> None:
            try:
                for idx in store.reserve("r1:0", "rerun", 5):
                    store.add_sample(Sample(error="x"), idx=idx, **PLACE)
                    store.samples(limit=1)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert sorted(s.idx for s in store.samples()) == list(range(120))


def test_reading_goes_on_while_another_thread_writes(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        found: list[int] = []
        with store._write() as connection:
            connection.exec_driver_sql("DELETE FROM samples")
            reader = threading.Thread(target=lambda: found.append(len(store.samples())))
            reader.start()
            reader.join(timeout=20)
        assert found == [0]


# -- versions ----------------------------------------------------------------------------------------------------------

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{version}"
down_revision = "{before}"


def upgrade():
    {does}
"""


@contextmanager
def newer_code(tmp_path: Path, more: str = "") -> Iterator[None]:
    """As if this were a reroll with two more migrations."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations.HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    does = {"9998": 'op.add_column("samples", sa.Column("mood", sa.Text))'}
    does["9999"] = f"""op.execute("UPDATE samples SET mood = 'calm'"); {more}"""
    before = store_schema.VERSIONS[-1]
    for version, what in does.items():
        text = NEXT.format(version=version, before=before, does=what)
        (folder / "versions" / f"v{version}_next.py").write_text(text)
        before = version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "HERE", folder)
        patch.setattr(store_schema, "VERSIONS", (*store_schema.VERSIONS, *does))
        yield


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file() and not p.name.endswith(("-wal", "-shm")))


# What every version so far has columns for, as version 0001 wrote it: tokens in their first format, bodies as zlib.
OLD_TOKENS = (Token("Fri", -0.5, (("Fri", -0.5), ("Mon", -1.25)), 7), Token("day", -0.125))
OLD_BLOB = bytes.fromhex(
    "01780163106660606082624620cd02c4d14a6e45994a3a4abef979403225b15229969911a40806606c900676982003c37e2013881780e87d00672a092d"
)
OLD_ROWS = """
INSERT INTO programs (id, name, body, put_us) VALUES ('p1:0', 'meetings', '{"program":"meetings"}', 1);
INSERT INTO cases (id, version, content_id, body, put_us, seen_us) VALUES ('a', 'v1:0', 'c1:0', '{"id":"a"}', 1, 2);
INSERT INTO requests (id, identity, model, body, put_us) VALUES ('r1:0', 'm', 'm', '{"messages":[],"top_p":1}', 1);
INSERT INTO series (request_id, series, next_index) VALUES ('r1:0', 'rerun', 3);
INSERT INTO samples (seq, id, request_id, series, idx, program_id, case_id, variant, source, settled_us, text,
    finish_reason, usd) VALUES
    (1, 's_one', 'r1:0', 'rerun', 0, 'p1:0', 'a', 'baseline', 'draw', 1500000, 'Friday', 'stop', 0.25),
    (2, 's_two', 'r1:0', 'rerun', 1, 'p1:0', 'a', 'colder', 'imported', 2500000, 'Monday', 'length', NULL);
INSERT INTO attempts (seq, n, started_us, seconds, waited, status) VALUES (1, 0, 1000000, 0.5, 0.25, 200);
INSERT INTO outcomes (sample_id, checks_id, check_name, outcome, reason, judged_us) VALUES
    ('s_one', 'k1:0', 'right-date', 'pass', '', 3), ('s_two', 'k1:0', 'right-date', 'fail', 'no', 3);
INSERT INTO decisions (id, rule, question, verdict, checks_ids, samples, evidence, made_us) VALUES
    ('d_1', 'certify/1', 'q', 'met', '["k1:0"]', '[[1,2]]', '{"n":2}', 4)
"""


def blank_store(url: str | Path, version: str) -> None:
    """A store of that version without a row, made by its migrations."""
    place = _place(url)
    if isinstance(place, Path):
        _make_folder(place, True)
        _make_private(place)
    with Store(place, 10.0) as store, store._engine.begin() as connection:
        migrations.upgrade(connection, None, version, store_schema.VERSION_TABLE)


def old_store(url: str, version: str) -> None:
    """A store as the reroll of that version left it, with a row of everything."""
    blank_store(url, version)
    upto = store_schema.VERSIONS[: store_schema.VERSIONS.index(version) + 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_schema, "VERSIONS", upto)
        with Store.open(url) as store, store._engine.begin() as connection:
            for statement in OLD_ROWS.split(";"):
                connection.exec_driver_sql(statement)
            if version >= "0002":  # from then on outcomes were stored with these
                for name in ("variant", "source"):
                    of = f"(SELECT {name} FROM samples WHERE samples.id = outcomes.sample_id)"
                    connection.exec_driver_sql(f"UPDATE outcomes SET {name} = {of}")
            connection.execute(
                store_schema.payloads.insert(), {"seq": 1, "tokens": OLD_BLOB, "raw": zlib.compress(b"{}")}
            )
            add_rows(connection, version)


def has_what_the_old_store_had(store: Store) -> None:
    one, two = store.samples(payload=True)
    assert one.sample == Sample(
        Completion("Friday", tokens=OLD_TOKENS),
        attempts=(Attempt(1.0, 0.5, 200, waited=0.25),),
        usage=Usage(usd=0.25),
        raw="{}",
    )
    assert two.sample == Sample(Completion("Monday", "length"))
    assert store.get_request("r1:0").request.body == {"messages": [], "top_p": 1}
    assert store.outcomes(["s_one", "s_two"])["s_two"]["k1:0"] == Outcome("fail", "no", "right-date")
    assert store.rates("k1:0") == {"baseline": Rates(1, 0, 0)}
    assert store.rates("k1:0", source="imported") == {"colder": Rates(1, 1, 0)}
    assert [d.samples for d in store.decisions()] == [(1, 2)]
    assert store.reserve("r1:0", "rerun", 1) == range(3, 4)
    assert store.spend() == Spend(1, 1, None, None, 0.25, 0.0, cached_tokens=None, samples=1)


@pytest.mark.parametrize("version", store_schema.VERSIONS[:-1])
def test_every_older_version_is_backed_up_and_migrated_with_its_data(tmp_path: Path, version: str) -> None:
    path = tmp_path / "store.sqlite"
    old_store(str(path), version)
    with Store.open(path) as store:
        has_what_the_old_store_had(store)
        has_what_was_added(store, version)
    backup = tmp_path / f"store.backup-{version}.sqlite"
    assert names(tmp_path) == [backup.name, "store.sqlite"]
    assert check(backup) == "ok"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM reroll_version").fetchone() == (version,)
        assert [row[0] for row in connection.execute("SELECT id FROM samples ORDER BY seq")] == ["s_one", "s_two"]


@pytest.mark.parametrize("version", [store_schema.VERSIONS[0], store_schema.VERSIONS[-2]])
def test_commands_and_pages_read_a_store_of_an_earlier_version(tmp_path: Path, capsys: Any, version: str) -> None:
    init_project(tmp_path / "meetings")
    (tmp_path / "meetings" / ".reroll").mkdir()
    old_store(str(tmp_path / "meetings" / ".reroll" / "store.sqlite"), version)
    here = ["--project", str(tmp_path / "meetings"), "--json"]
    assert main(["samples", "a", *here]) == 0
    assert [one["shown"]["id"] for one in json.loads(capsys.readouterr().out)["samples"]] == ["s_one", "s_two"]
    assert main(["ledger", *here]) == 0
    with Store.open(tmp_path / "meetings" / ".reroll" / "store.sqlite") as store:
        home = Home(tmp_path / "meetings", store, None)
        access = Access(Passes(home.secret), store)
        with TestClient(create_app(home, access), base_url="http://127.0.0.1") as client:
            assert client.get(f"/?token={access.passes.link(time.time())}").status_code == 200
            for page in (
                "/samples/s_one",
                "/samples?case=a",
                "/reports/rp_1",
                "/ledger",
                "/jobs",
                "/watch",
                "/settings",
            ):
                assert client.get(page).status_code == 200, page


def test_the_present_version_will_migrate_to_a_later_one_with_its_data(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    ids = fill(path)
    with newer_code(tmp_path), Store.open(path) as store:
        assert [s.id for s in store.samples()] == ids
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT mood FROM samples").fetchall() == [("calm",)]


def test_a_backup_holds_what_is_still_in_the_write_ahead_log_and_replaces_no_other(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    first = f"store.backup-{store_schema.VERSIONS[-1]}"
    (tmp_path / f"{first}.sqlite").write_bytes(b"precious")
    with Store.open(path) as old:
        id = old.add_sample(Sample(error="x"), idx=0, **PLACE)
        assert (tmp_path / "store.sqlite-wal").stat().st_size > 0
        with newer_code(tmp_path):
            Store.open(path).close()
    assert (tmp_path / f"{first}.sqlite").read_bytes() == b"precious"
    with Store.open(tmp_path / f"{first}-1.sqlite") as backup:
        assert [s.id for s in backup.samples()] == [id]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_what_customers_wrote_is_for_the_owner_of_the_store_alone(tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "store.sqlite", tmp_path / "store.sqlite"
    before = os.umask(0o022)
    try:
        old_store(str(old), "0001")
        Store.open(old).close()
        with Store.open(new):
            made = {path.name: path.stat().st_mode & 0o777 for path in new.parent.iterdir()}
    finally:
        os.umask(before)
    assert {"store.sqlite", "store.sqlite-wal"} <= set(made)
    assert set(made.values()) == {0o600}
    assert (tmp_path / "store.backup-0001.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    ids = fill(path)
    with newer_code(tmp_path, more='op.execute("SELECT * FROM nowhere")'), pytest.raises(StoreError, match="nowhere"):
        Store.open(path)
    with Store.open(path) as store:
        assert [s.id for s in store.samples()] == ids


def test_a_backup_that_cannot_be_made_stops_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    ids = fill(path)
    (tmp_path / f"store.backup-{store_schema.VERSIONS[-1]}.sqlite.{os.getpid()}.part").mkdir()
    with newer_code(tmp_path), pytest.raises(StoreError, match="cannot be opened or made"):
        Store.open(path)
    with Store.open(path) as store:
        assert [s.id for s in store.samples()] == ids


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    fill(path)
    with newer_code(tmp_path):
        Store.open(path).close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer reroll") as caught:
        Store.open(path)
    assert caught.value.slug == "store-newer"
    assert one_sentence(caught.value)
    assert path.read_bytes() == before


def shape(connection: Connection) -> dict[str, list[Any]]:
    """Columns, keys and indices of every table, whatever the words that made them."""
    indices = "SELECT name FROM pragma_index_list(?)"
    asked: list[tuple[str, str]] = []
    for name in inspect(connection).get_table_names():
        asked += [(ask, name) for ask in ("table_info", "foreign_key_list", "index_list")]
        asked += [("index_xinfo", row.name) for row in connection.exec_driver_sql(indices, (name,))]
    return {
        f"{ask} {name}": sorted(str(row[1:]) for row in connection.exec_driver_sql(f"PRAGMA {ask}({name})"))
        for ask, name in asked
    }


def test_a_new_store_has_the_tables_that_the_migrations_make(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    blank_store(path, store_schema.VERSIONS[-1])
    wr = "SELECT name, wr FROM pragma_table_list ORDER BY name"  # without a row id
    with Store(path, 1.0) as migrated, migrated._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": store_schema.VERSION_TABLE})
        assert compare_metadata(context, store_schema.metadata) == []
        by_migrations = shape(connection), connection.exec_driver_sql(wr).all()
    with Store.open(":memory:") as store, store._engine.connect() as connection:
        assert (shape(connection), connection.exec_driver_sql(wr).all()) == by_migrations


def test_the_known_versions_are_the_migration_files_in_order() -> None:
    script = ScriptDirectory(str(migrations.HERE))
    assert tuple(reversed([step.revision for step in script.walk_revisions()])) == store_schema.VERSIONS


def test_neither_making_a_store_nor_opening_a_current_one_imports_alembic(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    code = (
        "import sys; from reroll.store import Store; [Store.open(sys.argv[1]).close() for _ in range(2)]; "
        "print('alembic' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# -- files that cannot be used -----------------------------------------------------------------------------------------


def refused(path: Path, slug: str, **options: Any) -> str:
    with pytest.raises(StoreError) as caught:
        Store.open(path, **options)
    assert caught.value.slug == slug
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    assert one_sentence(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"Dear diary, " * 200)
    assert "is not a database" in refused(path, "store-not-a-database")
    assert path.read_bytes() == b"Dear diary, " * 200


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert "belongs to another program" in refused(path, "store-not-a-database")
    assert path.read_bytes() == before


def test_a_damaged_store_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    fill(path, 300)
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    path.write_bytes(whole)
    assert "is damaged" in refused(path, "store-damaged")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused(tmp_path / "file" / "store.sqlite", "store-not-writable")


def test_a_folder_instead_of_a_file_is_named(tmp_path: Path) -> None:
    assert "cannot be opened or made" in refused(tmp_path, "store-not-writable")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write: /proc")
def test_a_folder_that_nobody_can_write_is_named() -> None:
    assert "cannot be opened or made" in refused(Path("/proc/store.sqlite"), "store-not-writable")


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write anywhere, so as root these tests become `nobody` for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everyone can reach, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["store.sqlite", "folder/store.sqlite"])
def test_a_read_only_folder_is_named(shared: Path, name: str) -> None:
    shared.chmod(0o555)
    with ordinary_user():
        refused(shared / name, "store-not-writable")


def test_a_folder_that_we_may_not_look_into_is_named(shared: Path) -> None:
    shared.chmod(0o000)
    with ordinary_user():
        refused(shared / "store.sqlite", "store-not-writable")


def test_a_read_only_file_can_be_read_and_writing_is_refused_in_one_sentence(shared: Path) -> None:
    ids = fill(shared / "store.sqlite")
    (shared / "store.sqlite").chmod(0o444)
    with ordinary_user(), Store.open(shared / "store.sqlite") as store:
        assert [s.id for s in store.samples()] == ids
        with pytest.raises(StoreError, match="cannot be written") as caught:
            store.reserve("r1:0", "rerun", 1)
        assert caught.value.slug == "store-not-writable"


def test_a_store_that_must_exist_is_not_made(tmp_path: Path) -> None:
    assert "there is no store at" in refused(tmp_path / "typo.sqlite", "store-missing", create=False)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["mysql://ana:hunter2@db/x", "mysql://x", "://", "sqlite+x:///x", "sqlite://x", "sqlite:///x?mode=ro"]
)
def test_other_databases_are_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(StoreError, match="a store is a path") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.samples()


# -- locks and full disks ----------------------------------------------------------------------------------------------


@contextmanager
def held(path: Path, *statements: str) -> Iterator[None]:
    """Another program's connection that has done these statements and goes on holding its locks."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
        yield
    finally:
        connection.close()


def test_a_store_that_another_program_keeps_to_itself_is_named_as_locked(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    ids = fill(path)
    with held(path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"):
        assert "is locked by another process" in refused(path, "store-locked", busy_seconds=0.05)
    with Store.open(path) as store:
        assert [s.id for s in store.samples()] == ids


def test_writing_past_a_lock_fails_in_one_sentence_and_works_once_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    ids = fill(path)
    with Store.open(path, busy_seconds=0.05) as store:
        with held(path, "BEGIN EXCLUSIVE"):
            assert [s.id for s in store.samples()] == ids  # reading goes on
            with pytest.raises(StoreError, match="is locked") as caught:
                store.add_sample(Sample(error="x"), idx=3, **PLACE)
            assert one_sentence(caught.value)
            with pytest.raises(StoreError, match="is locked"):
                store.reserve("r1:0", "rerun", 1)
        store.add_sample(Sample(error="x"), idx=3, **PLACE)
        assert len(store.samples()) == 4


def add_forever(store: Store, sample: Sample, stored: list[str]) -> None:
    for start in range(0, 4000, 4):
        stored += store.add_samples([NewSample(sample, idx=start + i, **PLACE) for i in range(4)])


def test_a_full_disk_fails_in_one_sentence_and_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    stored: list[str] = []
    big = Sample(Completion("x" * 5000), attempts=(Attempt(1, 2, 200),), raw="{}")
    with Store.open(path) as store:
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        event.listen(store._engine, "checkout", lambda c, *_: c.execute(f"PRAGMA max_page_count = {pages + 40}"))
        with pytest.raises(StoreError, match="the disk is full") as caught:
            add_forever(store, big, stored)
        assert caught.value.slug == "store-full"
        assert one_sentence(caught.value)
        assert len(stored) >= 4
        assert [s.id for s in store.samples()] == stored
    assert check(path) == "ok"
    with Store.open(path) as store:
        assert [(s.id, len(s.sample.attempts)) for s in store.samples()] == [(id, 1) for id in stored]
        store.add_sample(big, idx=5000, **PLACE)


def test_a_batch_with_one_bad_sample_stores_none_of_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        good, bad = NewSample(Sample(error="x"), idx=0, **PLACE), NewSample(Sample(error="x"), idx=2**70, **PLACE)
        with pytest.raises(OverflowError):
            store.add_samples([good, bad])
        with pytest.raises(UsageError):
            store.add_decision(rule="", question="", verdict="", evidence={}, sample_ids=["s_nope"])
        assert store.samples() == []
