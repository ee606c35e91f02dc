"""What a server has freed is the machine's again: few heaps for its threads, few connections, and a regular look."""

from __future__ import annotations

import itertools
import platform
import re
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from reroll.allocating import HEAPS
from reroll.store import Store
from reroll.store_sqlite import IDLE
from reroll.web import app
from reroll.web.access import Access
from reroll.web.passes import Passes
from tests.pages import environment, home_in, served

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps for threads")
HEAP = 64 << 20  # bytes that glibc sets aside for each besides the first, where a pointer has 64 bits
IN_THREADS = """
import sys, threading
from reroll.allocating import few_heaps
if sys.argv[1] == "few":
    few_heaps()
at_once, over = threading.Barrier(9), threading.Barrier(9)
def work():
    kept = b"x" * 5000  # more than what Python has memory of its own for
    at_once.wait(); over.wait()
for _ in range(8):
    threading.Thread(target=work).start()
at_once.wait()
print(open("/proc/self/maps").read())
over.wait()
"""
FREED = """
from reroll.allocating import give_back
def held():
    return int(open("/proc/self/statm").read().split()[1])
before = held()
kept = [b"x" * 5000 for _ in range(10_000)]
most = held()
del kept[:-1]
after = held()
give_back()
print(most - before, after - before, held() - before)
"""


def heaps_in(maps: str) -> int:
    """How many heaps there are besides the first: each is set aside whole, its beginning in use."""
    parts = [(int(a, 16), int(b, 16), how) for a, b, how in re.findall(r"^(\w+)-(\w+) (\S+)", maps, re.MULTILINE)]
    pairs = itertools.pairwise(parts)
    return sum(
        start % HEAP == 0 and used == "rw-p" and end == then and rest == "---p" and until - start == HEAP
        for (start, end, used), (then, until, rest) in pairs
    )


def printed(code: str, *words: str) -> str:
    made = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment())
    assert made.returncode == 0, made.stderr
    return made.stdout


@glibc
def test_threads_share_few_heaps_once_that_is_said_and_have_their_own_before() -> None:
    assert heaps_in(printed(IN_THREADS, "few")) < HEAPS
    assert heaps_in(printed(IN_THREADS, "usual")) >= HEAPS


@glibc
def test_what_was_freed_below_something_in_use_is_given_back() -> None:
    most, kept, left = map(int, printed(FREED).split())
    assert kept > most / 2
    assert left < most / 10


@glibc
def test_a_server_that_drew_pages_in_many_threads_at_once_has_few_heaps(tmp_path: Path) -> None:
    with home_in(tmp_path / "meetings") as home:
        _, token = home.store.new_token("visitor", ("read",))
    with served(home.folder) as server:
        page = urllib.request.Request(server.base, headers={"authorization": f"Bearer {token}"})
        with ThreadPoolExecutor(12) as visitors:
            assert all(visitors.map(lambda _: urllib.request.urlopen(page).read(), range(24)))
        assert heaps_in(Path(f"/proc/{server.process.pid}/maps").read_text()) < HEAPS


def test_a_server_gives_back_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = threading.Semaphore(0)
    monkeypatch.setattr(app, "EVERY", 0.001)
    monkeypatch.setattr(app, "give_back", given.release)
    monkeypatch.setattr(Store, "rest", lambda store: given.release())
    with (
        home_in(tmp_path / "meetings") as home,
        TestClient(app.create_app(home, Access(Passes(home.secret), home.store))),
    ):
        assert all(given.acquire(timeout=60) for _ in range(4))


def test_a_store_that_rests_holds_no_page_of_its_file_and_goes_on(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        store.new_token("a", ("read",))
        with store._read() as reading:  # in use: it is let alone
            before = reading.execute(text("SELECT count(*) FROM access_tokens")).scalar_one()
            store.rest()
            assert store._engine.pool.checkedin() == 0
            assert reading.execute(text("SELECT count(*) FROM access_tokens")).scalar_one() == before
        assert [one.name for one in store.tokens()] == ["a"]


def test_a_store_in_memory_that_rests_keeps_what_it_has() -> None:
    with Store.open(":memory:") as store:
        store.new_token("a", ("read",))
        store.rest()
        assert [one.name for one in store.tokens()] == ["a"]


def test_threads_that_asked_at_once_leave_few_connections_behind(tmp_path: Path) -> None:
    together = threading.Barrier(12)

    def look(store: Store) -> None:
        with store._read() as connection:
            connection.execute(text("SELECT 1"))
            together.wait(60)

    with Store.open(tmp_path / "store.sqlite") as store:
        with ThreadPoolExecutor(12) as readers:
            list(readers.map(look, [store] * 12))
        assert store._engine.pool.checkedin() <= IDLE
