"""What only a PostgreSQL store has: several processes on one server, a server that goes and comes back, rights."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reroll import store_schema
from reroll.check import Outcome
from reroll.errors import StoreError
from reroll.sample import Attempt, Completion, Sample, Token
from reroll.store import NewSample, Rates, Store
from reroll.store_rows import Origin
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import answer
from tests.older import has_what_was_added
from tests.postgres import Server, running
from tests.test_at_hand import what_two_commands_drew_counts_in_its_place
from tests.test_store_faults import (
    WRITER,
    acknowledged,
    has_what_the_old_store_had,
    newer_code,
    old_store,
    one_sentence,
)

PLACE: dict[str, Any] = {"request_id": "r1:0", "series": "rerun", "program_id": "p1:0", "case_id": "a"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return server.new_database()


def place(idx: int) -> NewSample:
    return NewSample(Sample(Completion(f"c{idx}"), attempts=(Attempt(1, 2, 200),)), idx=idx, **PLACE)


def refused(url: str, slug: str, **options: Any) -> str:
    with pytest.raises(StoreError) as caught:
        Store.open(url, **options)
    assert caught.value.slug == slug, caught.value
    assert one_sentence(caught.value)
    return str(caught.value)


def test_two_processes_on_one_server_lose_nothing_and_get_no_index_twice(url: str) -> None:
    command = [sys.executable, "-c", WRITER, url, "30"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    with Store.open(url) as store:
        seen: list[int] = []  # a reader that asks for what is new misses nothing
        while any(one.poll() is None for one in both):
            seen += [s.seq for s in store.samples(after=max(seen, default=0))]
        outs = [one.communicate() for one in both]
        assert [one.returncode for one in both] == [0, 0], outs
        seen += [s.seq for s in store.samples(after=max(seen, default=0))]
        found = store.samples(payload=True)
        said = [acknowledged(out) for out, _ in outs]
        assert {s.idx: s.id for s in found} == said[0] | said[1]
        assert sorted(s.idx for s in found) == list(range(300))
        assert seen == [s.seq for s in found]
        assert store.reserved("r1:0", "rerun") == 300
        assert store.unsettled("r1:0", "rerun") == 0


def test_killing_a_writer_loses_no_acknowledged_sample_and_no_index_is_used_twice(url: str) -> None:
    command = [sys.executable, "-c", WRITER, url, "100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = "".join(process.stdout.readline() for _ in range(7))
    process.kill()
    said = acknowledged(lines + process.communicate()[0])
    with Store.open(url) as store:
        stored = {s.idx: s.id for s in store.samples()}
        assert said.items() <= stored.items()
        assert store.reserve("r1:0", "rerun", 1).start > max(stored)


def test_what_two_commands_draw_at_once_is_judged_as_in_a_file(url: str, tmp_path: Path) -> None:
    what_two_commands_drew_counts_in_its_place(tmp_path, url)


def test_threads_share_one_store(url: str) -> None:
    with Store.open(url) as store:
        threads = [
            threading.Thread(target=lambda: [store.add_samples([place(i)]) for i in store.reserve("r1:0", "rerun", 10)])
            for _ in range(4)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert sorted(s.idx for s in store.samples()) == list(range(40))


# -- gone, and back ----------------------------------------------------------------------------------------------------


def test_a_server_that_was_restarted_costs_nothing(server: Server, url: str) -> None:
    with Store.open(url) as store:
        store.add_samples([place(0)])
        server.stop()
        server.start()
        store.add_samples([place(1)])
        assert [s.idx for s in store.samples()] == [0, 1]


def test_a_server_that_comes_back_soon_is_waited_for(server: Server, url: str) -> None:
    with Store.open(url, busy_seconds=60) as store:
        server.stop()
        back = threading.Thread(target=server.start)
        back.start()
        store.add_samples([place(0)])
        back.join()
        assert [s.idx for s in store.samples()] == [0]


def test_what_came_back_while_the_server_was_gone_is_kept_and_taken_in_once(
    server: Server, url: str, tmp_path: Path
) -> None:
    tokens = Completion("hi", tokens=(Token("hi", -0.5, (("hi", -0.5), ("ho", -1.0))),))
    sample = Sample(tokens, attempts=(Attempt(1, 2, 200),), raw="{}")
    with Store.open(url, busy_seconds=0.2, rescue=tmp_path) as store:
        slots = store.reserve("r1:0", "rerun", 3)
        server.stop()
        for idx in slots[:2]:
            with pytest.raises(StoreError, match="what came back is kept in") as caught:
                store.add_samples([NewSample(sample, idx=idx, settled=5.0, origin=Origin("a", "b"), **PLACE)])
            assert caught.value.slug == "store-gone"
            assert one_sentence(caught.value)
        [kept] = tmp_path.glob("unsent-*.sqlite")
        assert str(kept) in str(caught.value)
        server.start()
    for expected in (2, 0):
        with Store.open(url, rescue=tmp_path) as store:
            assert store.take_in() == expected
            found = store.samples(payload=True)
            assert [(s.idx, s.sample, s.settled) for s in found] == [(0, sample, 5.0), (1, sample, 5.0)]
            assert list(store.origins([s.id for s in found]).values()) == [Origin("a", "b")] * 2
            assert store.unsettled("r1:0", "rerun") == 1


def test_no_server_is_one_sentence_without_the_password(server: Server) -> None:
    nobody = server.url().replace(str(server.port), "1").replace("tester@", "tester:hunter2@")
    assert "cannot be reached" in refused(nobody, "store-gone")
    assert "hunter2" not in refused(nobody, "store-gone")


# -- rights, foreign and missing databases -----------------------------------------------------------------------------


def test_a_user_without_rights_may_read_and_is_told_that_it_cannot_write(server: Server, url: str) -> None:
    with Store.open(url) as store:
        store.add_samples([place(0)])
    name = url.rpartition("/")[2]
    server.sql(f"CREATE ROLE guest_{name} LOGIN")
    server.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest_{name}", name)
    with Store.open(server.url(name, f"guest_{name}")) as store:
        assert [s.idx for s in store.samples()] == [0]
        with pytest.raises(StoreError, match="cannot be written by this user") as caught:
            store.reserve("r1:0", "rerun", 1)
        assert caught.value.slug == "store-not-writable"


def test_a_read_only_server_is_one_sentence(server: Server, url: str) -> None:
    Store.open(url).close()
    name = url.rpartition("/")[2]
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with Store.open(url) as store, pytest.raises(StoreError, match="read-only") as caught:
        store.reserve("r1:0", "rerun", 1)
    assert caught.value.slug == "store-not-writable"


def test_a_database_or_user_that_does_not_exist_is_named(server: Server) -> None:
    assert "/nowhere does not exist" in refused(server.url("nowhere"), "store-missing")
    assert "refuses this user" in refused(server.url(user="nobody_here"), "store-refused")


def test_an_empty_database_is_made_into_a_store_only_where_one_may_be_made(url: str) -> None:
    assert "there is no store" in refused(url, "store-missing", create=False)
    Store.open(url).close()
    Store.open(url, create=False).close()


def test_the_database_of_another_program_is_refused_and_left_alone(server: Server, url: str) -> None:
    name = url.rpartition("/")[2]
    server.sql("CREATE TABLE customers (id int)", name)
    assert "tables of another program" in refused(url, "store-not-a-database")
    assert server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == [("customers",)]


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", store_schema.VERSIONS[:-1])
def test_an_older_version_is_migrated_with_its_data_once_somebody_says_so(
    url: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store(url, version)
    assert f"pg_dump --format=custom --file=reroll-{version}.dump {url}" in refused(url, "store-older")
    monkeypatch.setenv("REROLL_MIGRATE", "1")
    with Store.open(url) as store:
        has_what_the_old_store_had(store)
        has_what_was_added(store, version)


def test_a_newer_version_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REROLL_MIGRATE", "1")
    with newer_code(tmp_path):
        Store.open(url).close()
    assert "written by a newer reroll" in refused(url, "store-newer")


def test_the_tables_are_those_that_the_code_declares(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with Store.open(url) as store, store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": store_schema.VERSION_TABLE})
        assert compare_metadata(context, store_schema.metadata) == []


def test_rates_are_counted_alike_in_both_databases(url: str, tmp_path: Path) -> None:
    words = ("pass", "fail", "invalid", "fail")
    rates = []
    for where in (url, tmp_path / "store.sqlite"):
        with Store.open(where) as store:
            new = [NewSample(Sample(error="x"), idx=i, variant=f"v{i % 3}", **PLACE) for i in range(40)]
            ids = store.add_samples(new)
            store.add_all_outcomes({id: [("k1:0", Outcome(words[i % 4], "", "c"))] for i, id in enumerate(ids)})
            store.mark_outage(ids[:6])
            rates.append(store.rates("k1:0"))
            recount = {v: [o for i, o in enumerate(words * 10) if i >= 6 and f"v{i % 3}" == v] for v in rates[-1]}
            assert rates[-1] == {v: Rates(len(o), o.count("fail"), o.count("invalid")) for v, o in recount.items()}
    assert rates[0] == rates[1]
    assert len(rates[0]) == 3
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM outcomes WHERE source = 'outage'").fetchone() == (6,)


# -- through the commands ----------------------------------------------------------------------------------------------


def test_a_command_whose_server_is_lost_keeps_what_it_paid_for_and_the_same_command_goes_on(
    server: Server, url: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(count: int) -> Any:
        if count == 5:
            server.stop()
        return answer("yes")

    monkeypatch.setattr(
        Store.open.__func__, "__kwdefaults__", {**Store.open.__func__.__kwdefaults__, "busy_seconds": 0.2}
    )
    with in_background(by_number(lost)) as (model, address):
        project = write_project(tmp_path, address)
        words = ["rerun", "greet", "--project", project, "--store", url, "--budget", 12, "--json"]
        ran = reroll(capsys, *words, "--concurrency", 1)
        assert (ran.code, ran.out) == (2, "")
        assert "what came back is kept in" in ran.complaint
        server.start()
        paid = model.calls
        again = reroll(capsys, *words)
        assert again.code == 0
        assert model.calls == again.json["rate"]["n"]  # every paid call counts, and none was made twice
        assert paid >= 5
    with Store.open(url) as store:
        assert len(store.samples()) == model.calls
