"""`reroll fake-server`: it does what it was told, in the shares it was told, and says what it did."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from typing import Any

import aiohttp
import pytest

from reroll.arguments import Faked
from reroll.commands_fake import behaviour_of
from reroll.fake_faults import FAULTS, Behaviour
from reroll.fake_server import FakeServer, serving
from tests.background import reroll, reroll_apart

ASKED = b'{"model":"m","messages":[]}'


def met(
    *calls: bytes, path: str = "/chat/completions", **behaviour: Any
) -> tuple[list[tuple[Any, bytes, Any]], FakeServer]:
    """Status, body and headers of each call in turn, or the error that it ended in; and the server."""

    async def run() -> tuple[list[tuple[Any, bytes, Any]], FakeServer]:
        found: list[tuple[Any, bytes, Any]] = []
        limit = aiohttp.ClientTimeout(total=0.3)
        async with serving(Behaviour(**behaviour)) as (fake, url), aiohttp.ClientSession(timeout=limit) as session:
            for data in calls or (ASKED,):
                try:
                    async with session.post(url + path, data=data) as got:
                        found.append((got.status, await got.read(), got.headers))
                except (aiohttp.ClientError, TimeoutError) as error:
                    found.append((type(error).__name__, b"", {}))
        return found, fake

    return asyncio.run(run())


def said(body: bytes) -> Any:
    return json.loads(body)["choices"][0]


def test_a_good_answer_is_a_chat_completion_or_a_completion() -> None:
    [(status, body, headers)], _ = met(answer="yes")
    assert status == 200
    assert said(body)["message"]["content"] == "yes"
    assert json.loads(body)["model"] == "m"
    assert headers["x-request-id"] == "fake-0"
    [(status, body, _)], _ = met(answer="yes", path="/completions")
    assert (status, said(body)["text"]) == (200, "yes")


def test_a_call_above_so_many_in_flight_is_sent_away() -> None:
    async def run() -> None:
        async with serving(Behaviour(most=2, latency=0.05)) as (fake, url), aiohttp.ClientSession() as session:

            async def call() -> int:
                async with session.post(url + "/chat/completions", data=ASKED) as got:
                    return got.status

            assert sorted(await asyncio.gather(*(call() for _ in range(5)))) == [200, 200, 429, 429, 429]
            assert await call() == 200
            assert fake.done == {"answer": 3, "429": 3}

    asyncio.run(run())


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_what_it_is_called(name: str) -> None:
    [(status, body, headers)], fake = met(faults={name: 1.0}, answer="good answer", drip=1.0)
    assert fake.done == {name: 1}
    if name.isdecimal():
        assert status == int(name)
        assert json.loads(body)["error"]["message"]
        assert ("Retry-After" in headers) == (name == "429")
        return
    expected: dict[str, Any] = {
        "reset": ("ServerDisconnectedError", "ClientOSError", "ConnectionResetError"),
        "hang": ("TimeoutError",), "drip": ("TimeoutError",), "truncated": ("ClientPayloadError",),
        "prompt-filter": (400,),
    }  # fmt: skip
    assert status in expected.get(name, (200,))
    if name == "malformed":
        with pytest.raises(ValueError):
            json.loads(body)
    if name == "html":
        assert headers["Content-Type"].startswith("text/html")
    if name == "content-type":
        assert headers["Content-Type"] == "text/plain"
        assert said(body)["message"]["content"] == "good answer"
    if name == "refusal":
        assert said(body)["message"]["refusal"]
    if name in ("filter", "length", "empty"):
        finish = {"filter": "content_filter", "length": "length", "empty": "stop"}[name]
        assert said(body)["finish_reason"] == finish
        assert said(body)["message"]["content"] == ("good " if name == "length" else "")


def test_faults_and_failures_come_in_their_shares_and_the_same_for_the_same_seed() -> None:
    faults = {"429": 0.05, "500": 0.02, "reset": 0.01}
    deeds = [Behaviour(faults=faults, fail=0.1, seed=7).deed(i) for i in range(20_000)]
    assert deeds == [Behaviour(faults=faults, fail=0.1, seed=7).deed(i) for i in range(20_000)]
    assert deeds != [Behaviour(faults=faults, fail=0.1, seed=8).deed(i) for i in range(20_000)]
    seen = Counter(deed.fault for deed in deeds)
    for name, chance in faults.items():
        assert abs(seen[name] / 20_000 - chance) < 5 * (chance / 20_000) ** 0.5
    assert abs(sum(deed.wrong for deed in deeds) / 20_000 - 0.1) < 0.011


def test_a_spread_latency_keeps_its_mean_and_deviation() -> None:
    seconds = [Behaviour(latency=0.5, spread=0.2).deed(i).seconds for i in range(20_000)]
    mean = sum(seconds) / len(seconds)
    assert abs(mean - 0.5) < 0.01
    assert abs((sum((s - mean) ** 2 for s in seconds) / len(seconds)) ** 0.5 - 0.2) < 0.02


def test_a_wrong_or_expired_key_and_an_unknown_model_are_turned_away() -> None:
    [(status, _, _)], _ = met(key="right")
    assert status == 401
    found, _ = met(*[ASKED] * 3, expire_after=2)
    assert [status for status, _, _ in found] == [200, 200, 401]
    [(status, _, _)], _ = met(models=("other",))
    assert status == 404


@pytest.mark.parametrize("data", [b"no json", b"[]", b'{"model":"m","stream":true}', b"[" * 100_000])
def test_nonsense_gets_a_400_and_the_server_lives_on(data: bytes) -> None:
    found, fake = met(data, ASKED)
    assert [status for status, _, _ in found] == [400, 200]
    assert fake.bad_requests == 1


def test_requests_sent_in_one_breath_are_answered_in_turn() -> None:
    async def run() -> bytes:
        async with serving(Behaviour()) as (_, url):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
            one = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(ASKED), ASKED)
            writer.write(one + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            got = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return got

    got = asyncio.run(run())
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert got.index(b'"fake-0"') < got.index(b'"fake-1"')


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (["--fault", "teapot=0.1"], "fake-server"),
        (["--fault", "500"], "fake-server"),
        (["--fault", "500=2"], "fake-server"),
        (["--fault", "500=0.6", "--fault", "429=0.6"], "fake-server"),
        (["--fail", "nan"], "fake-server"),
        (["--latency", "-1"], "fake-server"),
        (["--spread", "5"], "fake-server"),
        (["--expire-after", "-1"], "fake-server"),
        (["--port", "70000"], "port"),
        (["--host", "203.0.113.1"], "port"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(capsys: Any, words: list[str], slug: str) -> None:
    assert reroll(capsys, "fake-server", *words).complaint.endswith(f"[{slug}]")


def test_what_is_told_in_milliseconds_is_kept_in_seconds() -> None:
    behaviour = behaviour_of(Faked(latency=250, spread=50, drip=20))
    assert (behaviour.latency, behaviour.spread, behaviour.drip) == (0.25, 0.05, 0.02)


def test_the_command_says_where_it_is_counts_what_it_did_and_ends_when_told() -> None:
    process = reroll_apart("fake-server", "--answer", "yes")
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["pid"] == process.pid

        async def ask() -> Any:
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{told['base_url']}/chat/completions", data=ASKED) as got:
                    assert said(await got.read())["message"]["content"] == "yes"
                async with session.get(f"http://127.0.0.1:{told['port']}/stats") as got:
                    return await got.json()

        stats = asyncio.run(ask())
        assert (stats["calls"], stats["done"], stats["in_flight"]) == (1, {"answer": 1}, 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
