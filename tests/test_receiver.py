"""What exporters send: acknowledged once it is kept, read once however often it comes, refused in a sentence."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from backports import zstd
from starlette.concurrency import run_in_threadpool

from reroll import receiving
from reroll.errors import StoreError
from reroll.init import init_project
from reroll.intake.otlp import DIALECTS, may_be_call
from reroll.intake.otlp_bodies import (
    MOST_SPAN,
    MOST_SPANS,
    Body,
    Junk,
    TooMuch,
    in_it,
    spans_in,
    tagged,
    unpacked,
    without,
)
from reroll.intake.spans import Span
from reroll.intake.traffic import take_in
from reroll.project import load_project
from reroll.receiving import Reader
from reroll.store import Store
from reroll.store_received import MOST_REASONS, MOST_TRIES, NewBatch
from reroll.web import reading
from reroll.web.beside import beside
from reroll.web.home import Home
from reroll.web.receiver import Complaints
from tests import otlp
from tests.otlp import Exporter, Reply
from tests.pages import Served, home_in, served, until
from tests.postgres import either_store, server  # noqa: F401

KEY = "sk-a-key-that-is-in-use-here"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Store, str]]:
    """A server, its store, and a token that may send."""
    folder = tmp_path_factory.mktemp("receiver") / "meetings"
    init_project(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        _, token = store.new_token("app", ("send",))
        with served(folder, OPENAI_API_KEY=KEY) as running:
            yield running, store, token


@pytest.fixture(scope="module")
def inside(there: tuple[Served, Store, str]) -> Iterator[httpx.Client]:
    """A browser of somebody who opened the link."""
    with httpx.Client(base_url=there[0].base, follow_redirects=True, timeout=60) as client:
        assert client.get(there[0].link).status_code == 200
        yield client


@pytest.fixture
def exporter(there: tuple[Served, Store, str]) -> Iterator[Exporter]:
    made = Exporter(there[0].base, there[2])
    yield made
    made.close()


NINE = otlp.traces(0, 9).SerializeToString()
FIRST = iter(range(300, 10**9, 3000))


@pytest.fixture
def first() -> int:
    """The number of a span that no other test has."""
    return next(FIRST)


def of_calls(store: Store, first: int, count: int) -> list[str]:
    """The ids that the model gave the stored calls among spans `first` to `first + count`, one for each sample."""
    wanted = range(otlp.NOON + first * 10**6, otlp.NOON + (first + count) * 10**6)
    return [s.id for s in store.samples(source="imported") if round(s.settled * 1e6) * 1000 in wanted]


def is_read(store: Store) -> None:
    until(lambda: not store.received().waiting)


# -- taken -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["", "gzip", "zstd", "identity"])
def test_a_batch_is_acknowledged_and_its_calls_become_samples(
    there: tuple[Served, Store, str], exporter: Exporter, first: int, packing: str
) -> None:
    store = there[1]
    body = otlp.traces(first, 30).SerializeToString()
    packed = {"gzip": gzip.compress, "zstd": zstd.compress}.get(packing, bytes)(body)
    before = store.received()
    reply = exporter.send(packed, packing)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"", "application/x-protobuf")
    is_read(store)
    after = store.received()
    assert len(of_calls(store, first, 30)) == 10
    assert (after.spans - before.spans, after.taken - before.taken, after.stored - before.stored) == (30, 10, 10)
    why = "is a span that is no call of a model"
    assert dict(after.skipped)[why] - dict(before.skipped).get(why, 0) == 20


def test_json_is_taken_as_protobuf_is(there: tuple[Served, Store, str], exporter: Exporter, first: int) -> None:
    made = otlp.traces(first, 9)
    reply = exporter.send(otlp.as_json(made), kind="application/json; charset=utf-8")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"{}", "application/json")
    assert exporter.send(made.SerializeToString()).status == 200
    is_read(there[1])
    assert len(of_calls(there[1], first, 9)) == 3


def test_what_came_is_stored_whole(there: tuple[Served, Store, str], exporter: Exporter, first: int) -> None:
    made = otlp.traces(0, 0)
    otlp.add_span(made, first, otlp.call(first, asked="Tea with 漢字 \U0001f600 at noon", said='{"title": "Tea"}'))
    assert exporter.send(made.SerializeToString()).status == 200
    is_read(there[1])
    (id,) = of_calls(there[1], first, 1)
    sample = there[1].sample(id)
    request = there[1].get_request(sample.request_id).request
    assert sample.sample.completion is not None
    assert sample.sample.completion.text == '{"title": "Tea"}'
    assert request.body["messages"][-1] == {"role": "user", "content": "Tea with 漢字 \U0001f600 at noon"}
    assert request.body["temperature"] == 0.7


def test_langfuse_sends_to_its_own_address_with_the_token_as_its_secret_key(
    there: tuple[Served, Store, str], first: int
) -> None:
    exporter = Exporter(there[0].base)
    keys = base64.b64encode(f"pk-whatever:{there[2]}".encode()).decode()
    path = "/api/public/otel/v1/traces"
    assert exporter.send(otlp.traces(first, 3).SerializeToString(), path=path).status == 401
    reply = exporter.send(otlp.traces(first, 3).SerializeToString(), path=path, authorization=f"Basic {keys}")
    assert reply.status == 200
    is_read(there[1])
    assert len(of_calls(there[1], first, 3)) == 1


def test_an_empty_export_is_acknowledged_and_nothing_is_kept(
    there: tuple[Served, Store, str], exporter: Exporter
) -> None:
    before = there[1].received().batches
    assert exporter.send(b"").status == 200
    assert exporter.send(b"{}", kind="application/json").body == b"{}"
    assert exporter.send(otlp.traces(0, 0).SerializeToString()).status == 200
    assert there[1].received().batches == before


# -- once --------------------------------------------------------------------------------------------------------------


def test_a_call_is_stored_once_however_often_and_as_whatever_it_comes(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, body = there[1], otlp.traces(first, 30).SerializeToString()
    for packing, data in (("", body), ("gzip", gzip.compress(body)), ("zstd", zstd.compress(body))):
        assert exporter.send(data, packing).status == 200
        is_read(store)
    assert exporter.send(otlp.logs(first, 1).SerializeToString(), path="/v1/logs").status == 200
    twice = otlp.traces(first, 3)
    twice.MergeFrom(twice)
    assert exporter.send(twice.SerializeToString()).status == 200
    is_read(store)
    assert len(of_calls(store, first, 30)) == 10


def test_a_log_record_that_came_first_stands_for_the_span_that_comes_later(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, before = there[1], there[1].received().stored
    assert exporter.send(otlp.logs(first, 1).SerializeToString(), path="/v1/logs").status == 200
    is_read(store)
    assert exporter.send(otlp.traces(first, 1).SerializeToString()).status == 200
    is_read(store)
    assert store.received().stored == before + 1


@pytest.mark.parametrize("order", [("calls", "evaluations"), ("evaluations", "calls")])
def test_an_evaluation_that_comes_by_itself_finds_its_call_whichever_is_first(
    there: tuple[Served, Store, str], exporter: Exporter, first: int, order: tuple[str, str]
) -> None:
    store, waited = there[1], there[1].received().awaiting
    for what in order:
        if what == "calls":
            assert exporter.send(otlp.traces(first, 1).SerializeToString()).status == 200
        else:
            assert exporter.send(otlp.evaluations(first, 1).SerializeToString(), path="/v1/logs").status == 200
        is_read(store)
        assert store.received().awaiting == waited + (what == order[0] == "evaluations")
    (sample,) = of_calls(store, first, 1)
    assert store.sample(sample).sample.reward == 0
    assert [one.label for one in store.evaluations([sample])[sample]] == ["fail"]


def test_a_span_without_messages_leaves_the_call_to_the_log_record_that_has_them(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, before = there[1], there[1].received().stored
    made = otlp.traces(0, 0)
    bare = {k: v for k, v in otlp.call(first).items() if "messages" not in k and "instructions" not in k}
    otlp.add_span(made, first, bare)
    assert exporter.send(made.SerializeToString()).status == 200
    is_read(store)
    assert store.received().stored == before
    assert any("content capture" in why for why, _ in store.received().skipped)
    assert exporter.send(otlp.logs(first, 1).SerializeToString(), path="/v1/logs").status == 200
    is_read(store)
    assert store.received().stored == before + 1


def test_spans_without_ids_are_told_apart_by_what_they_say_and_a_batch_sent_again_adds_nothing(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, before = there[1], there[1].received().stored
    made = otlp.traces(first - first % 3, 9, calls=3)
    for span in made.resource_spans[0].scope_spans[0].spans:
        span.trace_id = span.span_id = b"\0" * 8
    for _ in range(2):
        assert exporter.send(made.SerializeToString()).status == 200
        is_read(store)
    assert store.received().stored == before + 9


def test_a_clock_that_runs_backwards_or_is_nowhere_near_leaves_the_call_without_its_times(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, before = there[1], there[1].received().stored
    made = otlp.traces(0, 0)
    for i, (start, end) in enumerate([(2**64 - 1, 1), (0, 0), (otlp.NOON, otlp.NOON - 10**9)]):
        span = otlp.add_span(made, first + 3 * i, otlp.call(first + i))
        span.start_time_unix_nano, span.end_time_unix_nano = start, end
    assert exporter.send(made.SerializeToString()).status == 200
    is_read(store)
    assert store.received().stored == before + 3


# -- refused -----------------------------------------------------------------------------------------------------------


def refused(reply: Reply, status: int, words: str) -> None:
    assert (reply.status, words in reply.said) == (status, True), (reply.status, reply.body)


def test_whoever_has_no_token_that_may_send_is_refused_and_no_token_is_logged(
    there: tuple[Served, Store, str], first: int
) -> None:
    running, store, token = there
    _, reader = store.new_token("ana", ("read", "run"))
    id, revoked = store.new_token("gone", ("send",))
    store.revoke_token(id)
    body = otlp.traces(first, 3).SerializeToString()
    for secret, status, words in (
        ("", 401, "no access token"),
        ("rr_of-somebody-elses-making", 401, "not in force"),
        (revoked, 401, "not in force"),
        (reader, 403, "scope `send`"),
        ("é\u20ac".encode().decode("latin-1"), 401, "not in force"),
    ):
        refused(Exporter(running.base, secret).send(body), status, words)
        refused(Exporter(running.base, secret).send(b"{}", kind="application/json"), status, words)
    assert Exporter(running.base, "x").send(body).headers["www-authenticate"] == "Bearer"
    for odd in ("Bearer", "Basic %%%", "Basic cm9vdA==", "Digest a=b", ""):
        assert Exporter(running.base).send(body, authorization=odd).status == 401
    log = (running.folder / "serve.log").read_text()
    assert "401: a request came with an access token that is not in force" in log
    assert not [secret for secret in (revoked, reader, token, "elses-making") if secret in log]
    assert not of_calls(store, first, 3)


def test_a_token_that_may_send_opens_nothing_else(there: tuple[Served, Store, str]) -> None:
    running, _, token = there
    with httpx.Client(base_url=running.base, headers={"authorization": f"Bearer {token}"}) as client:
        for path in ("/", "/samples", "/settings", "/project", "/jobs"):
            assert client.get(path).status_code == 403, path
        assert client.post("/jobs", data={"do": "rerun", "case": "next-friday"}).status_code == 403
        del client.headers["authorization"]
        reply = client.post("/enter", data={"token": token}, headers={"origin": running.base})
        assert reply.status_code == 403
        assert "set-cookie" not in reply.headers


def test_a_page_of_another_site_can_send_nothing_by_the_browser_of_somebody_who_was_let_in(
    there: tuple[Served, Store, str], inside: httpx.Client, first: int
) -> None:
    running, store, _ = there
    body = otlp.traces(first, 3).SerializeToString()
    assert inside.get("/").status_code == 200
    for kind in ("application/x-protobuf", "text/plain", "application/x-www-form-urlencoded"):
        for origin in ("http://evil.example", running.base):
            reply = inside.post("/v1/traces", content=body, headers={"content-type": kind, "origin": origin})
            assert reply.status_code == 401
    allowed = inside.options("/v1/traces", headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in allowed.headers
    assert inside.post("/v1/traces", content=body, headers={"host": "evil.example"}).status_code == 421
    assert not of_calls(store, first, 3)


@pytest.mark.parametrize(
    ("body", "packing", "kind", "status", "words"),
    [
        (b"hello, is this where traces go?", "", "application/x-protobuf", 400, "no protobuf"),
        (NINE[:-7], "", "application/x-protobuf", 400, "breaks off"),
        (gzip.compress(NINE, mtime=0)[:-20], "gzip", "application/x-protobuf", 400, "breaks off"),
        (zstd.compress(NINE)[:-9], "zstd", "application/x-protobuf", 400, "breaks off"),
        (NINE, "gzip", "application/x-protobuf", 400, "no gzip data"),
        (gzip.compress(b"\x0a\x00", mtime=0), "zstd", "application/x-protobuf", 400, "no zstd data"),
        (b"", "br", "application/x-protobuf", 415, "gzip or zstd"),
        (b"", "gzip, gzip", "application/x-protobuf", 415, "gzip or zstd"),
        (NINE, "", "application/grpc", 415, "gRPC is not taken"),
        (b"{}", "", "text/plain", 415, "application/json"),
        (b'{"resourceSpans": [', "", "application/json", 400, "no JSON"),
        (b'{"resourceLogs": []}', "", "application/json", 400, "no list `resourceSpans`"),
        (b'{"resourceSpans": 3}', "", "application/json", 400, "no list `resourceSpans`"),
        (b"[" * 100_000, "", "application/json", 400, "no JSON"),
        ('{"resourceSpans": []}'.encode("utf-16"), "", "application/json", 400, "no JSON in UTF-8"),
        (b'{"resourceSpans": []}\xff', "", "application/json", 400, "no JSON in UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(
    exporter: Exporter, body: bytes, packing: str, kind: str, status: int, words: str
) -> None:
    refused(exporter.send(body, packing, kind), status, words)


def test_what_is_one_bit_off_is_refused_or_taken_and_never_breaks_the_server(exporter: Exporter) -> None:
    good = otlp.traces(3, 3).SerializeToString()
    for at in range(0, len(good), 61):
        bad = bytearray(good)
        bad[at] ^= 0x55
        assert exporter.send(bytes(bad)).status in (200, 400)
    assert exporter.send(good).status == 200


def test_one_span_that_cannot_be_read_takes_no_other_with_it(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store, made = there[1], otlp.traces(first, 3)
    body = made.SerializeToString().replace(b"POST /meetings", b"POST \xff\xfe\xfd\xfctings", 1)
    reply = exporter.send(body)
    assert reply.status == 200
    assert b"1 cannot be read" in reply.body
    assert reply.body[:4] == bytes([0x0A, len(reply.body) - 2, 0x08, 1])  # partial_success { rejected_spans: 1
    is_read(store)
    assert dict(store.received().skipped)["is a span that cannot be read"] >= 1
    assert len(of_calls(store, first, 3)) == 1
    alone = otlp.traces(0, 0)
    otlp.add_span(alone, first, {}, name="x" * 40)
    refused(exporter.send(alone.SerializeToString().replace(b"xxxx", b"\xff\xfe\xfd\xfc")), 400, "none of the spans")


def test_a_span_that_holds_a_key_in_use_is_not_kept_and_the_others_are(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    running, store, _ = there
    made = otlp.traces(first, 6)
    made.resource_spans[0].scope_spans[0].spans[1].attributes.extend(
        otlp.attributes(**{"http.request.header.authorization": f"Bearer {KEY}"})
    )
    reply = exporter.send(gzip.compress(made.SerializeToString()), "gzip")
    assert reply.status == 200
    assert b"1 held a key in use" in reply.body
    told = json.loads(exporter.send(otlp.as_json(made), kind="application/json").body)
    assert told["partialSuccess"]["rejectedSpans"] == "1"
    is_read(store)
    assert len(of_calls(store, first, 6)) == 2
    assert "held a key in use, so that it was not kept" in dict(store.received().skipped)
    kept = b"".join(path.read_bytes() for path in (running.folder / ".reroll").glob("store.sqlite*"))
    assert KEY.encode() not in kept


def memory_of(process: int) -> int:
    """The most memory that this process ever had, in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) // 1024  # type: ignore[index]


def bomb(packing: str) -> bytes:
    """What unpacks to 4 GiB of zeros."""
    pack: Any = gzip.compress if packing == "gzip" else zstd.compress
    return bytes(pack(b"\0" * 2**20)) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory a process had is read from /proc")
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_is_refused_and_fills_no_memory(
    there: tuple[Served, Store, str], exporter: Exporter, packing: str
) -> None:
    before = memory_of(there[0].process.pid)
    for kind in ("application/x-protobuf", "application/json"):
        refused(exporter.send(bomb(packing), packing, kind), 413, "unpacks to more than")
    for spans in (30 * 2**20, 2**19 - 100):  # tens of millions of them with nothing in them, and what is read at once
        empty = tagged(1, tagged(2, b"\x12\x00" * spans))
        refused(exporter.send(gzip.compress(empty, 1), "gzip"), 413, f"more than {MOST_SPANS:,} spans")
        nothing = tagged(1, tagged(2, tagged(2, b"\x4a\x00" * spans)))  # and of attributes
        assert exporter.send(gzip.compress(nothing, 1), "gzip").status in (200, 400)
    assert memory_of(there[0].process.pid) - before < 250


def test_a_request_that_is_too_large_is_refused_before_it_is_read(exporter: Exporter) -> None:
    connection = exporter.connection
    connection.putrequest("POST", "/v1/traces")
    for name, said in (
        ("authorization", f"Bearer {exporter.token}"),
        ("content-type", "application/x-protobuf"),
        ("content-length", str(10**9)),
    ):
        connection.putheader(name, said)
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413
    assert b"MiB" in reply.read()


# -- the store ---------------------------------------------------------------------------------------------------------


def test_while_the_store_is_locked_nothing_is_acknowledged_and_what_is_sent_again_gets_in_once(
    there: tuple[Served, Store, str], exporter: Exporter, first: int
) -> None:
    store = there[1]
    is_read(store)
    body = otlp.traces(first, 30).SerializeToString()
    with contextlib.closing(sqlite3.connect(store.path or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        reply = exporter.send(body)
        refused(reply, 503, "send it again")
        assert reply.headers["retry-after"].isdecimal()
        other.execute("COMMIT")
    assert exporter.send(body).status == 200
    is_read(store)
    assert len(of_calls(store, first, 30)) == 10


def test_a_store_that_is_gone_acknowledges_nothing(
    there: tuple[Served, Store, str], exporter: Exporter, first: int, tmp_path: Path
) -> None:
    is_read(there[1])
    place = there[0].folder / ".reroll" / "store.sqlite"
    away = place.rename(tmp_path / "elsewhere.sqlite")
    try:
        reply = exporter.send(otlp.traces(first, 3).SerializeToString())
        refused(reply, 503, "the store does not answer")
        assert str(place).encode() not in reply.body  # where it lies is for whoever runs the server
    finally:
        away.rename(place)
    assert exporter.send(otlp.traces(first, 3).SerializeToString()).status == 200
    is_read(there[1])
    assert len(of_calls(there[1], first, 3)) == 1
    assert "was moved or removed" in (there[0].folder / "serve.log").read_text()


def senders(base: str, token: str, stop: threading.Event) -> tuple[list[threading.Thread], list[int]]:
    """Four exporters that send batch after batch until the server is gone; the batches that were acknowledged."""
    acknowledged: list[int] = []
    numbers = iter(range(10**6))

    def send() -> None:
        exporter = Exporter(base, token)
        while not stop.is_set():
            batch = next(numbers)
            try:
                if (
                    exporter.send(gzip.compress(otlp.traces(batch * 60, 60).SerializeToString(), 1), "gzip").status
                    == 200
                ):
                    acknowledged.append(batch)
            except OSError:
                return
            except Exception:  # the connection broke off in the middle of a reply
                return

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    return threads, acknowledged


def test_a_kill_in_the_middle_of_a_load_loses_nothing_that_was_acknowledged_and_stores_nothing_twice(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "meetings"
    init_project(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        _, token = store.new_token("app", ("send",))
        with killed(folder) as running:
            stop = threading.Event()
            threads, acknowledged = senders(running.base, token, stop)
            until(lambda: len(acknowledged) >= 20 and store.received().stored > 0)
            running.process.send_signal(signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join(20)
        with served(folder):
            is_read(store)
        times = sorted(round(s.settled * 1e3) for s in store.samples(source="imported"))
        assert len(times) == len(set(times)), "a call was stored twice"
        start = otlp.NOON // 10**6
        wanted = {start + i for batch in acknowledged for i in range(batch * 60, batch * 60 + 60) if i % 3 == 0}
        assert wanted <= set(times), "a call that was acknowledged is lost"
        assert not store.received().unreadable


@contextlib.contextmanager
def killed(folder: Path) -> Iterator[Served]:
    """A server that is killed without a word."""
    command = [sys.executable, "-m", "reroll", "serve", "--port", "0", "--project", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    log = folder / "killed.log"
    with log.open("w+b") as told:
        process = subprocess.Popen(command, stderr=told, env=environment)
    try:
        until(lambda: "Open http" in log.read_text())
        yield Served(process, folder, re.search(r"Open (http://\S+)", log.read_text())[1])  # type: ignore[index]
    finally:
        process.kill()
        process.wait(20)


# -- reading -----------------------------------------------------------------------------------------------------------


def batch(first: int, count: int, calls: int = 1) -> NewBatch:
    return NewBatch("traces", "protobuf", "", otlp.traces(first, count, calls).SerializeToString(), count, sender="app")


BROKEN = NewBatch("traces", "protobuf", "gzip", b"\x1f\x8b and then nothing of the kind", 7)


def read_all(reader: Reader) -> None:
    while reader.read():
        pass


def test_a_batch_that_cannot_be_read_is_kept_with_its_reason_and_the_others_are_read(
    either_store: Store,  # noqa: F811
    tmp_path: Path,
) -> None:
    store, reader = either_store, Reader(either_store, tmp_path, lambda: None)
    store.keep_received([batch(0, 3), BROKEN, batch(3, 3), batch(0, 3)])
    read_all(reader)
    found = store.received()
    assert (found.batches, found.spans, found.waiting, found.taken, found.stored) == (4, 16, 0, 2, 2)
    assert dict(found.skipped) == {
        "is a span that is no call of a model": 6,
        "is a call that was taken already (the same span a second time)": 1,
    }
    (spoilt,) = found.unreadable
    assert (spoilt.spans, spoilt.problem) == (7, "Junk: this is no gzip data, or it is damaged")
    assert found.last_us is not None
    assert store.retry_received() == 1
    assert store.received().waiting == 7
    read_all(reader)
    assert len(store.received().unreadable) == 1
    assert store.received().stored == 2


def test_the_calls_of_a_batch_that_cannot_be_read_may_come_by_another(
    either_store: Store,  # noqa: F811
    tmp_path: Path,
) -> None:
    store = either_store
    store.keep_received([batch(0, 3), BROKEN])
    first, second = (one.seq for one in store.claim_received("w", 60, 10**6))
    assert store.first_in([(b"k" * 16, second)]) == {b"k" * 16: second}
    assert store.first_in([(b"k" * 16, first), (b"l" * 16, first)]) == {b"k" * 16: second, b"l" * 16: first}
    store.spoil_received("w", second, "why", [b"k" * 16])
    assert store.first_in([(b"k" * 16, first)]) == {b"k" * 16: first}


def test_one_call_that_the_intake_breaks_on_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(calls: Any, **told: Any) -> Any:
        if any(call.ids["span"] == otlp.span_id(3).hex() for call in calls):
            raise RuntimeError("something that nobody thought of")
        return take_in(calls, **told)

    with Store.open(tmp_path / "store.sqlite") as store:
        reader = Reader(store, tmp_path, lambda: None)
        store.keep_received([batch(0, 9), batch(9, 9)])
        with monkeypatch.context() as patched:
            patched.setattr(receiving, "take_in", breaks)
            read_all(reader)
        (spoilt,) = store.received().unreadable
        assert (spoilt.seq, spoilt.problem) == (1, "RuntimeError: something that nobody thought of")
        assert len(store.samples()) == 5
        store.retry_received()  # once whatever was in the way is mended
        read_all(reader)
        assert not store.received().unreadable
        assert len(store.samples()) == 6


@pytest.mark.parametrize("together", [True, False])
def test_a_later_step_of_a_turn_is_no_sample_of_its_own_in_whatever_batch_it_comes(
    tmp_path: Path, together: bool
) -> None:
    asked = {"role": "user", "parts": [{"type": "text", "content": "Lunch with Ana"}]}
    looked = {"type": "tool_call", "id": "call_1", "name": "look", "arguments": {"who": "Ana"}}
    found = {"type": "tool_call_response", "id": "call_1", "response": "free at noon"}
    steps = [
        ([asked], {"role": "assistant", "parts": [looked], "finish_reason": "tool_call"}),
        (
            [asked, {"role": "assistant", "parts": [looked]}, {"role": "tool", "parts": [found]}],
            {"role": "assistant", "parts": [{"type": "text", "content": "Noon it is"}], "finish_reason": "stop"},
        ),
    ]
    with Store.open(tmp_path / "store.sqlite") as store:
        made = otlp.traces(0, 0)
        for i, (said, answer) in enumerate(steps):
            made = made if together else otlp.traces(0, 0)
            told = {"gen_ai.input.messages": json.dumps(said), "gen_ai.output.messages": json.dumps([answer])}
            otlp.add_span(made, i, {**otlp.call(i), **told})
            if not together or i == 1:
                store.keep_received([NewBatch("traces", "protobuf", "", made.SerializeToString(), 1)])
                read_all(Reader(store, tmp_path, lambda: None))
        assert len(store.samples()) == 1
        assert any("later step of a turn" in why for why, _ in store.received().skipped)


def test_what_somebody_reads_nobody_else_reads_until_there_is_no_sign_of_life(
    either_store: Store,  # noqa: F811
    tmp_path: Path,
) -> None:
    store = either_store
    store.keep_received([batch(0, 3), batch(3, 3)])
    mine = [one.seq for one in store.claim_received("one", 60, 10**6)]
    assert len(mine) == 2
    assert store.claim_received("two", 60, 10**6) == []
    (theirs,) = store.claim_received("two", 0, 10**6)  # not a sign of life: it comes alone
    assert theirs.tries == 2
    assert not store.end_received("one", mine, {("spans", ""): 6})
    assert store.end_received("two", [theirs.seq], {("spans", ""): 3})
    assert not store.end_received("two", [theirs.seq], {("spans", ""): 3})
    store.free_received("one", mine)
    assert [one.tries for one in store.claim_received("three", 60, 10**6)] == [1]
    assert store.received().spans == 6


def test_a_batch_that_ended_whoever_read_it_is_left_alone(either_store: Store) -> None:  # noqa: F811
    store = either_store
    store.keep_received([batch(0, 3)])
    for _ in range(MOST_TRIES):
        assert len(store.claim_received("one that dies", 0, 10**6)) == 1
    assert store.claim_received("another", 0, 10**6) == []
    assert "was ended 3 times" in store.received().unreadable[0].problem


def test_a_store_that_fails_meanwhile_blames_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        store.keep_received([batch(0, 3)])
        reader = Reader(store, tmp_path, lambda: None)

        def fails(*_: object) -> Any:
            raise StoreError("the disk is full", slug="store-full")

        with monkeypatch.context() as patched:
            patched.setattr(store, "put_samples", fails)
            for _ in range(5):
                with pytest.raises(StoreError):
                    reader.read()
        assert not store.received().unreadable
        read_all(reader)
        assert store.received().stored == 1


def test_however_many_reasons_there_are_the_page_stays_short(either_store: Store) -> None:  # noqa: F811
    store = either_store
    for i in range(3):
        store.keep_received([batch(0, 1)])
        (one,) = store.claim_received("w", 60, 10**6)
        assert store.end_received("w", [one.seq], {("skipped", f"reason {i * 40 + j}"): 2 for j in range(40)})
    skipped = store.received().skipped
    assert len(skipped) == MOST_REASONS + 1
    assert sum(n for _, n in skipped) == 240


def test_the_projects_own_case_is_found_again_and_a_check_that_needs_a_person_stops_nothing(tmp_path: Path) -> None:
    init_project(tmp_path / "meetings")
    project = load_project(tmp_path / "meetings")
    cases = tmp_path / "meetings" / "cases.yaml"
    cases.write_text(cases.read_text() + "  - {id: by-hand, input: {request: 'Tea'}, checks: [{person: true}]}\n")
    project = load_project(tmp_path / "meetings")
    made = otlp.traces(0, 0)
    for i, case in enumerate((project.case("next-friday"), project.case("by-hand"))):
        body = project.program.render(case.input, case.history).body
        system = json.dumps([{"type": "text", "content": body["messages"][0]["content"]}])
        asked = otlp.messages("user", body["messages"][-1]["content"])
        otlp.add_span(made, i, {**otlp.call(i), "gen_ai.system_instructions": system, "gen_ai.input.messages": asked})
    otlp.add_span(made, 9, otlp.call(9))
    with Store.open(tmp_path / "store.sqlite") as store:
        store.keep_received([NewBatch("traces", "protobuf", "", made.SerializeToString(), 3)])
        read_all(Reader(store, tmp_path / "meetings", lambda: project))
        assert not store.received().unreadable
        named = {sample.case_id for sample in store.samples()}
        assert {"next-friday", "by-hand"} < named
        assert len(named) == 3


# -- bodies ------------------------------------------------------------------------------------------------------------


def test_packed_parts_one_after_the_other_are_one_body() -> None:
    halves = [otlp.traces(0, 30).SerializeToString()[:4000], otlp.traces(0, 30).SerializeToString()[4000:]]
    for packing, pack in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        body = Body("traces", "protobuf", packing, b"".join(pack(half) for half in halves))
        assert in_it(body, unpacked(body)) == (30, 0)
        with pytest.raises(Junk, match="damaged"):
            unpacked(Body("traces", "protobuf", packing, body.data + b"and more"))


def test_zstd_that_wants_much_memory_is_refused() -> None:
    wants = zstd.compress(b"a" * 100, options={zstd.CompressionParameter.window_log: 27})
    large = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    wants = large.compress(b"a" * 100) + large.flush()
    with pytest.raises(Junk):
        unpacked(Body("traces", "protobuf", "zstd", wants))


def test_a_span_larger_than_any_is_one_that_cannot_be_read() -> None:
    made = otlp.traces(0, 0)
    otlp.add_span(made, 0, otlp.call(0, asked="a" * (MOST_SPAN + 1)))
    otlp.add_span(made, 3, otlp.call(3))
    body = Body("traces", "protobuf", "", made.SerializeToString())
    assert in_it(body, body.data) == (2, 1)
    found = spans_in(body, body.data)
    assert (len(found.spans), found.others, found.broken) == (1, 0, 1)


def test_more_json_than_is_taken_is_refused() -> None:
    spans = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}] * (MOST_SPANS + 1)}]}]}).encode()
    with pytest.raises(TooMuch):
        in_it(Body("traces", "json", "", spans), spans)
    with pytest.raises(TooMuch):
        unpacked(Body("traces", "json", "", b" " * (17 * 2**20)))


def test_protobuf_and_json_say_the_same_of_every_span() -> None:
    made = otlp.traces(0, 30)
    span = made.resource_spans[0].scope_spans[0].spans[0]
    span.status.code, span.status.message = 2, "429: too many"
    span.events.add(name="gen_ai.evaluation.result").attributes.extend(
        otlp.attributes(**{"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.5, "list": ["a", 2]})
    )
    one = Body("traces", "protobuf", "", made.SerializeToString())
    other = Body("traces", "json", "", otlp.as_json(made))
    assert spans_in(one, one.data) == spans_in(other, other.data)


def test_without_unwanted_spans_the_others_are_as_they_were() -> None:
    made = otlp.traces(0, 9)
    for body in (
        Body("traces", "protobuf", "", made.SerializeToString()),
        Body("traces", "json", "", otlp.as_json(made)),
    ):
        whole = spans_in(body, body.data).spans
        data, broken, gone = without(body, body.data, lambda part: b"chatcmpl-000000000003" in part)
        assert (broken, gone) == (0, 1)
        assert in_it(body, data) == (8, 0)
        assert spans_in(body, data).spans == (whole[0], whole[2])
        assert in_it(body, without(body, body.data, lambda part: True)[0]) == (0, 0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"openinference.span.kind": "LLM", "input.value": "Tea"},
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Tea"},
        {"langfuse.observation.type": "generation", "langfuse.observation.input": "Tea"},
        {"gen_ai.operation.name": "chat"},
        {"gen_ai.request.model": "m"},
        {"gen_ai.input.messages": "[]"},
        {"gen_ai.prompt.0.content": "Tea"},
        {"llm.request.type": "chat"},
        {"ai.operationId": "ai.generateText.doGenerate"},
    ],
)
def test_what_any_dialect_knows_as_a_call_is_not_passed_over(attributes: dict[str, str]) -> None:
    assert any(dialect(Span("x", "", "", attributes), "here") is not None for dialect in DIALECTS)
    assert may_be_call(["http.route", *attributes])
    for name in attributes:
        others = {("x" + name): attributes[name], "http.route": "/", "input.value": "Tea", "request_data": "{}"}
        assert not may_be_call(others)
        assert all(dialect(Span("x", "", "", others), "here") is None for dialect in DIALECTS)


# -- pages -------------------------------------------------------------------------------------------------------------


def mark(page: str) -> str:
    return page.split('name="mark" value="')[1].split('"')[0]


def test_the_page_says_what_came_and_what_was_left_out_and_lets_what_cannot_be_read_be_read_again(
    there: tuple[Served, Store, str], inside: httpx.Client, exporter: Exporter, first: int
) -> None:
    running, store, token = there
    assert exporter.send(otlp.traces(first, 9).SerializeToString()).status == 200
    store.keep_received([BROKEN])
    is_read(store)
    page = inside.get("/project").text
    assert f"{store.received().spans:,}</span>" in page
    assert "is a span that is no call of a model" in page
    assert "this is no gzip data" in page
    assert token not in page
    sent = inside.post("/received/again", data={"mark": mark(page)}, headers={"origin": running.base})
    assert sent.status_code == 200
    assert inside.post("/received/again", data={"mark": mark(page)}).status_code == 403
    until(lambda: len(store.received().unreadable) == 1)


def test_a_received_call_is_run_again_from_its_page(
    there: tuple[Served, Store, str], inside: httpx.Client, exporter: Exporter, first: int
) -> None:
    running, store, _ = there
    made = otlp.traces(0, 0)
    otlp.add_span(made, first, otlp.call(first, asked="Tea with Ana tomorrow at noon"))
    assert exporter.send(made.SerializeToString()).status == 200
    is_read(store)
    (id,) = of_calls(store, first, 1)
    page = inside.get(f"/samples/{id}").text
    assert "What happens if I run it again?" in page
    form = page.split('id="again"')[1].split("</form>")[0]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert fields["sample"] == id
    assert inside.post("/jobs", data=fields, headers={"origin": running.base}).status_code == 200
    (job,) = store.jobs(limit=1)
    until(lambda: store.open_question(job.id) is not None or not store.job(job.id).active)
    assert store.job(job.id).active, store.job(job.id).message
    drawn = store.samples(source="draw", newest=True, limit=1)[0]
    (system, user) = store.get_request(drawn.request_id).request.body["messages"]
    assert (system["content"], user["content"]) == (otlp.SYSTEM, "Tea with Ana tomorrow at noon")
    store.stop_job(job.id)
    until(lambda: not store.job(job.id).active)


def test_a_batch_that_takes_long_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def slow_at_first(calls: Any, **told: Any) -> Any:
        if not begun.is_set():
            begun.set()
            assert may_go_on.wait(20)
        return take_in(calls, **told)

    monkeypatch.setattr(receiving, "take_in", slow_at_first)
    monkeypatch.setattr(reading, "SLOW", 0.0)
    monkeypatch.setattr(reading, "EVERY", 0.02)

    async def receive(home: Home) -> None:
        async with reading.reading(home) as received:
            await received.keep(batch(0, 3))
            await run_in_threadpool(until, begun.is_set)
            await received.keep(batch(3, 3))
            await run_in_threadpool(until, lambda: home.store.received().stored == 1)
            assert home.store.received().waiting == 3
            may_go_on.set()
            await run_in_threadpool(until, lambda: home.store.received().stored == 2)

    with home_in(tmp_path / "meetings") as home:
        asyncio.run(receive(home))
        assert not home.store.received().waiting


def test_more_than_is_read_is_not_taken_and_what_waited_in_vain_is_not_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    may_go_on = threading.Event()

    async def receive(home: Home) -> None:
        received = reading.Reading(home)
        keep = home.store.keep_received
        with monkeypatch.context() as patched:
            patched.setattr(home.store, "keep_received", lambda new: (may_go_on.wait(20), keep(new)))
            async with beside(received.keeping()):
                for _ in range(2):  # the first is being stored, the second waits behind it
                    with pytest.raises(reading.Full, match="does not answer"):
                        await received.keep(batch(0, 3))
                patched.setattr(reading, "MOST_WAITING", 10)
                with pytest.raises(reading.Full, match="more comes than is read"):
                    await received.keep(batch(3, 3))
                patched.setattr(reading, "MOST_WAITING", 2**20)
                may_go_on.set()
                patched.setattr(reading, "PATIENCE", 20.0)
                await received.keep(batch(6, 3))
        received.unread = reading.MOST_UNREAD
        with pytest.raises(reading.Full, match="more comes than is read"):
            await received.keep(batch(9, 3))

    with home_in(tmp_path / "meetings") as home:
        asyncio.run(receive(home))
        assert home.store.received().batches == 2


def test_complaints_about_exporters_come_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    complaints = Complaints(lambda: now)
    for now in (0.0, 1.0, 2.0, 61.0):  # noqa: B007
        complaints.say("401: no")
    complaints.say("400: another")
    assert capsys.readouterr().err.splitlines() == [
        "received traces: 401: no",
        "received traces: 401: no (3 times)",
        "received traces: 400: another",
    ]
