"""`reroll record`: what passes through is the same on both sides, and on the disk before it is back."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from reroll.errors import UsageError
from reroll.recorder import Recorder, base_of
from reroll.streamed import events_of, joined
from tests.background import in_background
from tests.fake_server import Act, FakeServer, answer, body, error, reset, serving
from tests.pages import until

ASK = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "temperature": 0.5}
KEY = {"Authorization": "Bearer sk-verysecret123456"}


@contextlib.asynccontextmanager
async def recording(url: str, path: Path) -> AsyncIterator[tuple[str, Recorder]]:
    recorder = Recorder(base_of(url), path)
    runner = web.AppRunner(recorder.app(), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", recorder
    finally:
        await runner.cleanup()


async def said(url: str, ask: Any = ASK, **more: Any) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.post(url, json=ask, headers=KEY, **more) as reply:
        return reply.status, await reply.read()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def through(path: Path, *acts: Act, at: str = "/v1/chat/completions", times: int = 1) -> tuple[list[Any], FakeServer]:
    async def go() -> tuple[list[Any], FakeServer]:
        async with serving(*acts) as (server, url), recording(f"{url}/v1", path) as (here, _):
            return [await said(here + at) for _ in range(times)], server

    return asyncio.run(go())


def stream(*events: Any, pause: bool = False, cut: bool = False) -> Act:
    async def act(request: web.Request) -> web.StreamResponse:
        out = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await out.prepare(request)
        for event in events:
            await out.write(f"data: {json.dumps(event)}\n\n".encode())
        if cut:
            assert request.transport is not None
            request.transport.abort()
            return out
        await out.write(b"data: [DONE]\n\n")
        return out

    return act


def delta(text: str | None = None, **more: Any) -> dict[str, Any]:
    part = {"index": 0, "delta": {} if text is None else {"content": text}, **more}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m-1", "choices": [part]}


@pytest.mark.parametrize("at", ["/v1/chat/completions", "/chat/completions"])
def test_a_call_is_passed_on_as_it_is_and_kept_whole_without_its_key(tmp_path: Path, at: str) -> None:
    path = tmp_path / "calls.jsonl"
    [(status, got)], server = through(path, answer("Good day"), at=at)
    assert status == 200
    assert json.loads(got)["choices"][0]["message"]["content"] == "Good day"
    assert json.loads(server.bodies[0]) == ASK
    assert server.headers[0]["Authorization"] == KEY["Authorization"]
    [row] = rows(path)
    assert row["request"] == ASK
    assert row["response"] == {"status": 200, "body": json.loads(got)}
    assert row["url"].endswith("/v1/chat/completions")
    assert "secret" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_many_calls_at_once_are_all_kept_each_with_its_own_answer(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        told = await request.json()
        return await answer(told["messages"][0]["content"])(request)

    async def go() -> int:
        async with serving(echo) as (_, url), recording(f"{url}/v1", tmp_path / "c.jsonl") as (here, recorder):
            asks = [{**ASK, "messages": [{"role": "user", "content": str(k)}]} for k in range(200)]
            await asyncio.gather(*(said(f"{here}/v1/chat/completions", ask) for ask in asks))
            return recorder.kept

    assert asyncio.run(go()) == 200
    kept = rows(tmp_path / "c.jsonl")
    pairs = {
        (r["request"]["messages"][0]["content"], r["response"]["body"]["choices"][0]["message"]["content"])
        for r in kept
    }
    assert pairs == {(str(k), str(k)) for k in range(200)}


def test_a_streamed_answer_reaches_the_client_as_it_is_and_is_kept_as_one_object(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    call = {"tool_calls": [{"index": 0, "id": "t1", "function": {"name": "book", "arguments": '{"day"'}}]}
    rest = {"tool_calls": [{"index": 0, "function": {"arguments": ": 3}"}}]}
    events = [
        delta("Good "),
        delta("day", logprobs={"content": [{"token": "day", "logprob": -0.5}]}),
        {**delta(), "choices": [{"index": 0, "delta": call}]},
        {**delta(), "choices": [{"index": 0, "delta": rest, "finish_reason": "stop"}]},
        {**delta(), "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ]
    [(status, got)], _ = through(path, stream(*events))
    assert status == 200
    assert list(events_of(got.decode())) == events
    [row] = rows(path)
    kept = row["response"]["body"]
    assert row["streamed"] is True
    assert kept["object"] == "chat.completion"
    assert kept["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
    [choice] = kept["choices"]
    assert choice["message"]["content"] == "Good day"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"day": 3}'}
    assert choice["logprobs"]["content"] == [{"token": "day", "logprob": -0.5}]
    assert choice["finish_reason"] == "stop"


def test_streams_of_the_other_wires_are_joined_too() -> None:
    response = {"id": "r", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]}
    assert (
        joined(
            [
                {"type": "response.created", "response": {"id": "r"}},
                {"type": "response.completed", "response": response},
            ]
        )
        == response
    )
    message = joined(
        [
            {"type": "message_start", "message": {"id": "m", "role": "assistant", "usage": {"input_tokens": 4}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "name": "f", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'},
            },
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        ]
    )
    assert message is not None
    assert message["content"] == [{"type": "text", "text": "Hi"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]
    assert message["usage"] == {"input_tokens": 4, "output_tokens": 2}
    assert message["stop_reason"] == "end_turn"
    text = joined([{"object": "text_completion", "choices": [{"index": 0, "text": t}]} for t in ("a", "b")])
    assert text is not None
    assert text["choices"][0]["text"] == "ab"
    assert joined([{"type": "ping"}]) is None


@pytest.mark.parametrize(
    "text", ["", "data: {", "data: 3\n\n", "\x00", 'data: {"choices": [3, {"index": "x", "delta": 4}]}\n\n']
)
def test_no_stream_however_broken_raises(text: str) -> None:
    joined(events_of(text))


def test_faults_are_passed_on_and_kept_as_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    refused = error(401, "Incorrect API key provided: sk-verysecret123456")
    got, _ = through(path, refused, reset(), body({"choices": []}), times=3)
    assert [status for status, _ in got] == [401, 502, 200]
    first, second, third = rows(path)
    assert first["response"]["status"] == 401
    assert "secret123" not in path.read_text()
    assert second["error"].startswith("the server gave no answer")
    assert third["response"]["body"] == {"choices": []}


def test_a_stream_that_breaks_off_looks_broken_to_the_client_and_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    async def go() -> None:
        async with (
            serving(stream(delta("Good "), cut=True)) as (_, url),
            recording(f"{url}/v1", tmp_path / "c.jsonl") as (here, _),
        ):
            with pytest.raises(aiohttp.ClientError):
                await said(f"{here}/v1/chat/completions")

    asyncio.run(go())
    [row] = rows(tmp_path / "c.jsonl")
    assert row["error"].startswith("the answer broke off")


def test_what_is_no_call_to_a_model_passes_and_leaves_no_line(tmp_path: Path) -> None:
    async def go() -> bytes:
        models = body({"data": [{"id": "m"}]})
        async with (
            serving(models=models) as (_, url),
            recording(f"{url}/v1", tmp_path / "c.jsonl") as (here, _),
            aiohttp.ClientSession() as session,
            session.get(f"{here}/v1/models?key=sk-verysecret123456") as reply,
        ):
            return await reply.read()

    assert json.loads(asyncio.run(go()))["data"] == [{"id": "m"}]
    assert (tmp_path / "c.jsonl").read_text() == ""


def test_a_compressed_answer_is_kept_readable(tmp_path: Path) -> None:
    async def zipped(request: web.Request) -> web.StreamResponse:
        data = gzip.compress(json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode())
        return web.Response(body=data, headers={"content-encoding": "gzip", "content-type": "application/json"})

    [(status, got)], _ = through(tmp_path / "c.jsonl", zipped)
    assert (status, json.loads(got)["choices"][0]["message"]["content"]) == (200, "hi")
    assert rows(tmp_path / "c.jsonl")[0]["response"]["body"]["choices"][0]["message"]["content"] == "hi"


@pytest.mark.parametrize("name", ["evil.example", "127.evil.example", "127.0.0.1.evil.example"])
def test_another_host_name_is_refused_so_that_no_web_page_can_call_it(tmp_path: Path, name: str) -> None:
    async def go() -> tuple[int, int]:
        async with (
            serving() as (server, url),
            recording(f"{url}/v1", tmp_path / "c.jsonl") as (here, _),
            aiohttp.ClientSession() as session,
            session.post(f"{here}/v1/chat/completions", json=ASK, headers={"Host": name}) as reply,
        ):
            return reply.status, server.calls

    assert asyncio.run(go()) == (421, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),  # the product's own pages, while it is made
    ],
    ids=str,
)
def test_calls_that_a_page_of_another_site_invents_are_neither_passed_on_nor_recorded(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def go() -> tuple[int, int]:
        async with (
            serving(answer("hi")) as (server, url),
            recording(f"{url}/v1", tmp_path / "c.jsonl") as (here, _),
            aiohttp.ClientSession() as session,
            session.post(f"{here}/v1/chat/completions", json=ASK, headers=headers) as reply,
        ):
            return reply.status, server.calls

    assert asyncio.run(go()) == (status, int(status == 200))
    assert len(rows(tmp_path / "c.jsonl")) == int(status == 200)


@pytest.mark.parametrize("url", ["api.openai.com", "ftp://x", "http://", "https://u:p@h/v1", "https://h/v1?key=x"])
def test_an_upstream_that_is_no_address_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a server"):
        base_of(url)


def test_the_command_says_where_to_call_and_ends_with_how_many_it_kept(tmp_path: Path) -> None:
    out, told = tmp_path / "calls.jsonl", tmp_path / "told"
    with in_background(answer("hi")) as (_, url):
        words = [
            sys.executable,
            "-m",
            "reroll",
            "record",
            "--upstream",
            f"{url}/v1",
            "--port",
            "0",
            "--out",
            str(out),
        ]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with told.open("w") as err:
            process = subprocess.Popen(words, stderr=err, env=env)
        try:
            until(lambda: "Every call" in told.read_text())
            place = re.search(r"call (http://\S+) instead", told.read_text())
            assert place is not None
            assert asyncio.run(said(f"{place[1]}/chat/completions"))[0] == 200
            assert len(rows(out)) == 1  # on the disk before the answer is back
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(20)
    assert code == 0, told.read_text()
    assert "1 call in" in told.read_text()
