"""Every wire but chat completions, against real servers and real functions: what is sent, and how answers read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.errors import ModelError, UsageError
from reroll.models import registry
from reroll.models.conformance import check_model
from reroll.models.model import Capabilities, Draw, Model
from reroll.models.registry import open_model
from reroll.program import Request
from reroll.project import load_project
from reroll.sample import Sample
from tests.background import in_background, reroll
from tests.fake_server import Act, FakeServer, answer, body, completion, error

SECRET = "hunter2hunter2hunter2"
SYSTEM, USER = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "response", "strict": True, "schema": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}

RESULT = {"role": "tool", "tool_call_id": "c1", "content": "7"}


@contextlib.asynccontextmanager
async def serving(*acts: Act, models: Act | None = None) -> AsyncIterator[tuple[FakeServer, str]]:
    """A server that plays these acts at every path below /v1, which it notes."""
    server = FakeServer(acts, models)
    server.paths = []  # type: ignore[attr-defined]

    async def any_path(request: web.Request) -> web.StreamResponse:
        server.paths.append(request.path)  # type: ignore[attr-defined]
        return await server.chat(request)

    app = web.Application()
    app.router.add_get("/v1/models", server.list_models)
    app.router.add_post("/{path:.*}", any_path)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def opened(ref: str, base_url: str | None = None, key: str = "", project: Path = Path(), timeout: float = 5) -> Model:
    environment = {"REROLL_API_KEY": key} if key else {}
    return open_model(
        ref,
        base_url=base_url,
        project=project,
        timeout=timeout,
        environment=environment,
        rng=random.Random(1),
        sleep=no_sleep,
    )


def draw_of(request: Mapping[str, Any], seed: int | None = None, raw: str | None = None) -> Draw:
    return Draw(Request("m", None, request, raw), "case", 0, seed)


def play(kind: str, *acts: Act, key: str = "", draw: Draw | None = None) -> tuple[Sample, FakeServer]:
    async def run() -> tuple[Sample, FakeServer]:
        async with serving(*acts) as (server, url):
            model = opened(f"{kind}:tiny", url, key)
            sample = await model.draw(draw or draw_of({"messages": [USER]}))
            await model.close()
            return sample, server

    return asyncio.run(run())


def sent(
    kind: str, request: Mapping[str, Any], good: Act, seed: int | None = None
) -> tuple[dict[str, Any], FakeServer]:
    sample, server = play(kind, good, draw=draw_of(request, seed))
    assert sample.completion is not None, sample.error
    return json.loads(server.bodies[0]), server


def response(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
    return {
        "object": "response",
        "status": "completed",
        "model": "tiny-1",
        "output": list(items),
        "usage": usage,
        **more,
    }


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, **more}]}


def anthropic(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 3}
    return {"type": "message", "content": list(blocks), "stop_reason": "end_turn", "model": "t", "usage": usage, **more}


def text_completion(text: str, **more: Any) -> dict[str, Any]:
    return {**completion(), "choices": [{"index": 0, "text": text, "finish_reason": "stop", **more}]}


GOOD = {
    "openai": answer("ok"),
    "openai-responses": body(response(message("ok"))),
    "openai-completions": body(text_completion("ok")),
    "anthropic": body(anthropic({"type": "text", "text": "ok"})),
}
PATHS = {
    "openai": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "openai-completions": "/v1/completions",
    "anthropic": "/v1/messages",
}
OTHERS = sorted(set(GOOD) - {"openai"})


# -- what all wires over HTTP share


@pytest.mark.parametrize("kind", sorted(GOOD))
@pytest.mark.parametrize("bad", [None, error(400), error(500), body(b"{"), body({"made": "up"}), error(529)])
def test_every_wire_over_http_keeps_the_promises_of_a_model(kind: str, bad: Act | None) -> None:
    async def run() -> Sample:
        async with serving(bad or GOOD[kind]) as (server, url):
            sample = await check_model(opened(f"{kind}:tiny", url), draw_of({"messages": [SYSTEM, USER]}, seed=5))
            besides = {"/completion"} | ({"/v1/completions"} if kind == "openai" else set())  # of the probe
            assert set(server.paths) - besides <= {PATHS[kind]}  # type: ignore[attr-defined]
            return sample

    sample = asyncio.run(run())
    assert (sample.completion is None) == (bad is not None)
    if bad is None:
        assert sample.completion is not None
        assert (sample.completion.text, sample.completion.finish_reason) == ("ok", "stop")
        assert (sample.seed is None) == (kind in ("anthropic", "openai-responses")), "a seed that was not sent is none"


@pytest.mark.parametrize("kind", OTHERS)
def test_a_raw_request_goes_byte_for_byte_and_no_key_comes_back(kind: str) -> None:
    raw = '{ "model":"other", "messages" : [] }'
    echo = json.dumps(response(message(SECRET))) if kind == "openai-responses" else None
    act = body(echo.encode()) if echo else GOOD[kind]
    sample, server = play(kind, act, key=SECRET, draw=draw_of(json.loads(raw), 7, raw))
    assert server.bodies[0] == raw.encode()
    assert SECRET not in repr(sample)
    assert any(SECRET in value for value in server.headers[0].values())


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(
    "content", [b"[]", b'{"output": 7, "choices": 7, "content": 7}', b'{"choices": [{}]}', b"<html>"]
)
def test_a_body_that_is_none_is_an_error_and_never_a_crash(kind: str, content: bytes) -> None:
    sample, _ = play(kind, body(content))
    assert (sample.error or "").startswith("malformed body: ")
    assert len(sample.attempts) == 3


@pytest.mark.parametrize("kind", OTHERS)
def test_a_plain_server_gets_honest_capabilities(kind: str) -> None:
    async def probed(act: Act) -> Capabilities:
        async with serving(act) as (_, url):
            model = opened(f"{kind}:tiny", url)
            found = await model.probe()
            await model.close()
            return found

    found = asyncio.run(probed(GOOD[kind]))
    assert (found.temperature, found.json_schema, found.tools, found.logprobs) == (True, False, False, 0)
    assert all(note.endswith(".") for note in found.notes)
    dead = asyncio.run(probed(error(401, "who are you")))
    assert dead.temperature is None
    assert "A plain call failed" in dead.notes[0]


# -- responses


def test_responses_get_the_program_in_their_own_shape() -> None:
    chat = {
        "messages": [SYSTEM, USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT],
        "max_tokens": 50,
        "logprobs": True,
        "top_logprobs": 5,
        "tools": [TOOL],
        "response_format": FORM,
        "made_up": 1,
    }
    found, _ = sent("openai-responses", chat, GOOD["openai-responses"], seed=7)
    assert found == {
        "model": "tiny",
        "store": False,
        "input": [
            SYSTEM,
            USER,
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "7"},
        ],
        "max_output_tokens": 50,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 5,
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
        "text": {"format": {"type": "json_schema", **FORM["json_schema"]}},  # type: ignore[dict-item]
        "made_up": 1,
    }


def test_a_response_is_read_in_full() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
    reasoning = {"type": "reasoning", "summary": []}
    sample, _ = play("openai-responses", body(response(reasoning, message("Hi", logprobs=[entry]), call)))
    assert sample.completion is not None
    assert (sample.completion.text, sample.completion.finish_reason) == ("Hi", "tool_calls")
    assert sample.completion.tool_calls == (CALL,)
    assert [t.top for t in sample.completion.tokens] == [(("Hi", -0.1),)]
    assert (sample.usage.prompt_tokens, sample.usage.completion_tokens, sample.usage.cached_tokens) == (9, 3, 4)
    assert sample.model == "tiny-1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (response(message("cu"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
        (response(status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
        (response(message("x"), status="cancelled"), "cancelled"),
    ],
)
def test_a_response_that_was_cut_says_so(data: dict[str, Any], reason: str) -> None:
    sample, _ = play("openai-responses", body(data))
    assert sample.completion is not None
    assert sample.completion.finish_reason == reason


def test_a_refusing_response_is_a_completion_and_a_failed_one_an_error() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I will not"}]}
    sample, _ = play("openai-responses", body(response(refusal)))
    assert sample.completion is not None
    assert sample.completion.refusal == "I will not"
    failed = response(status="failed", error={"code": "server_error", "message": "sorry"})
    sample, _ = play("openai-responses", body(failed), GOOD["openai-responses"])
    assert [a.error for a in sample.attempts] == ["http 200: sorry", None]


# -- completions


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([USER], "Hi"),
        ([SYSTEM, USER], "Be kind.\n\nUser: Hi\n\nAssistant:"),
        ([USER, {"role": "assistant", "content": "Well"}], "User: Hi\n\nAssistant: Well"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
    ],
)
def test_messages_become_a_plain_prompt(messages: list[Any], prompt: str) -> None:
    found, _ = sent("openai-completions", {"messages": messages, "max_tokens": 5}, GOOD["openai-completions"], seed=3)
    assert found == {"model": "tiny", "prompt": prompt, "max_tokens": 5, "seed": 3}


def test_a_prompt_of_the_programs_own_goes_as_it_is_and_logprobs_become_a_count() -> None:
    chat = {"messages": [USER], "prompt": "Once", "logprobs": True, "top_logprobs": 4}
    found, _ = sent("openai-completions", chat, GOOD["openai-completions"])
    assert found == {"model": "tiny", "prompt": "Once", "logprobs": 4}


@pytest.mark.parametrize(
    "logprobs",
    [
        {"tokens": ["o", "k"], "token_logprobs": [-0.5, -0.25], "top_logprobs": [{"o": -0.5, "x": -1}, None]},
        {
            "content": [
                {
                    "token": "o",
                    "logprob": -0.5,
                    "top_logprobs": [{"token": "o", "logprob": -0.5}, {"token": "x", "logprob": -1}],
                },
                {"token": "k", "logprob": -0.25},
            ]
        },
    ],
)
def test_token_probabilities_come_in_two_shapes(logprobs: dict[str, Any]) -> None:
    sample, _ = play("openai-completions", body(text_completion("ok", logprobs=logprobs)))
    assert sample.completion is not None
    assert [(t.text, t.logprob, t.top) for t in sample.completion.tokens] == [
        ("o", -0.5, (("o", -0.5), ("x", -1))),
        ("k", -0.25, ()),
    ]


@pytest.mark.parametrize("logprobs", [{"tokens": ["o"], "token_logprobs": []}, {"tokens": 7}, {"tokens": [7]}])
def test_token_probabilities_that_are_none_are_a_malformed_body(logprobs: dict[str, Any]) -> None:
    sample, _ = play("openai-completions", body(text_completion("ok", logprobs=logprobs)))
    assert "malformed body" in (sample.error or "")


# -- anthropic


def test_anthropic_gets_the_program_in_its_own_shape() -> None:
    chat = {
        "messages": [SYSTEM, USER, {"role": "assistant", "content": "Wait.", "tool_calls": [CALL]}, RESULT],
        "stop": "END",
        "tools": [TOOL],
        "tool_choice": "required",
        "response_format": FORM,
        "temperature": 0.5,
    }
    found, server = sent("anthropic", chat, GOOD["anthropic"], seed=7)
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    assert found == {
        "model": "tiny",
        "max_tokens": 4096,
        "system": "Be kind.",
        "messages": [
            USER,
            {"role": "assistant", "content": [{"type": "text", "text": "Wait."}, use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "7"}]},
        ],
        "stop_sequences": ["END"],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "temperature": 0.5,
    }
    assert server.headers[0]["anthropic-version"] == "2023-06-01"


def test_the_version_of_anthropics_header_decides_where_the_key_goes() -> None:
    _, server = play("anthropic", GOOD["anthropic"], key=SECRET)
    assert (server.headers[0]["x-api-key"], "Authorization" in server.headers[0]) == (SECRET, False)
    new = draw_of({"messages": [USER], "anthropic-version": "2026-10-21"})
    _, server = play("anthropic", GOOD["anthropic"], key=SECRET, draw=new)
    assert server.headers[0]["anthropic-version"] == "2026-10-21"
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert "x-api-key" not in server.headers[0]
    assert "anthropic-version" not in json.loads(server.bodies[0])


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause_turn"),
        (None, "unknown"),
    ],
)
def test_anthropics_reasons_to_stop_are_said_in_one_language(stop: str | None, reason: str) -> None:
    sample, _ = play("anthropic", body(anthropic({"type": "text", "text": "a"}, stop_reason=stop)))
    assert sample.completion is not None
    assert sample.completion.finish_reason == reason


def test_anthropics_refusal_tools_and_tokens_are_read() -> None:
    sample, _ = play("anthropic", body(anthropic(stop_reason="refusal")))
    assert sample.completion is not None
    assert (sample.completion.refusal, sample.completion.finish_reason) == ("refused", "content_filter")
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    thinking = {"type": "thinking", "thinking": "hm"}
    data = anthropic(thinking, {"type": "text", "text": "ok"}, use, stop_reason="tool_use")
    sample, _ = play("anthropic", body(data))
    assert sample.completion is not None
    assert (sample.completion.text, sample.completion.tool_calls) == ("ok", (CALL,))
    assert sample.completion.finish_reason == "tool_calls"
    assert (sample.usage.prompt_tokens, sample.usage.cached_tokens, sample.usage.completion_tokens) == (11, 4, 3)


def test_an_overloaded_anthropic_is_waited_for_also_inside_a_200() -> None:
    over = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    sample, _ = play("anthropic", body(over, 529), body(over), GOOD["anthropic"])
    assert sample.completion is not None
    assert [a.error for a in sample.attempts] == ["http 529: Overloaded", "http 529: Overloaded", None]


def test_what_anthropic_cannot_do_is_said_in_words() -> None:
    async def run() -> Capabilities:
        async with serving(GOOD["anthropic"]) as (_, url):
            model = opened("anthropic:tiny", url)
            found = await model.probe()
            await model.close()
            return found

    words = " ".join(asyncio.run(run()).notes)
    for said in ("(n) do not exist", "A seed does not exist", "Token probabilities do not exist", "4096 is sent"):
        assert said in words


# -- python


PRODUCT = """
import os, asyncio
from reroll.sample import Completion
def text(request, tone="plain"):
    print("noise")
    return f"{tone}: {request}"
async def later(request):
    await asyncio.sleep(0)
    return {"date": request}
def whole(request):
    return {"text": request, "tool_calls": [{"id": "c"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
def made(request): return Completion(request, "length")
def turns(request, history=()): return str(len(history))
def number(request): return 7
def broken(request): raise ValueError(f"no {request} with hunter2hunter2hunter2")
def leaving(request): raise SystemExit(3)
def ending(request): raise StopIteration
def hanging(request):
    import threading
    threading.Event().wait()
"""


def call(folder: Path, function: str, request: Mapping[str, Any], timeout: float = 5) -> Sample:
    (folder / "product.py").write_text(PRODUCT)

    async def run() -> Sample:
        model = opened(f"python:product:{function}", project=folder, timeout=timeout)
        try:
            return await model.draw(draw_of(request))
        finally:
            await model.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("function", "text"),
    [("text", "plain: Hi"), ("later", '{"date": "Hi"}'), ("whole", "Hi"), ("made", "Hi"), ("turns", "1")],
)
def test_a_function_gets_the_inputs_and_returns_the_answer(
    tmp_path: Path, function: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history = {"history": [USER]} if function == "turns" else {}
    sample = call(tmp_path, function, {"input": {"request": "Hi"}, **history})
    assert sample.completion is not None, sample.error
    assert sample.completion.text == text
    assert sample.usage.prompt_tokens == (3 if function == "whole" else None)
    assert capsys.readouterr().out == "", "what the product prints must not get between JSON"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("broken", "ValueError: no Hi with [secret]"),
        ("number", "TypeError: the function returned int; it must return a text, a dict, or a Completion"),
        ("leaving", "RuntimeError: SystemExit: 3"),
        ("ending", "RuntimeError: StopIteration"),
    ],
)
def test_an_exception_is_the_error_of_its_sample(
    tmp_path: Path, function: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_API_KEY", SECRET)
    sample = call(tmp_path, function, {"input": {"request": "Hi"}})
    assert sample.error == words
    assert [a.error for a in sample.attempts] == [words]


def test_a_function_that_hangs_ends_by_the_time_out_and_one_called_wrongly_by_its_error(tmp_path: Path) -> None:
    assert call(tmp_path, "hanging", {"input": {"request": "Hi"}}, timeout=0.05).error == "time-out after 0.05 s"
    assert "unexpected keyword argument 'words'" in (call(tmp_path, "text", {"input": {"words": "Hi"}}).error or "")


def test_a_function_keeps_the_promises_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text(PRODUCT)
    for function in ("text", "later", "broken"):
        model = opened(f"python:product:{function}", project=tmp_path)
        asyncio.run(check_model(model, draw_of({"input": {"request": "Hi"}, "params": {}})))
    assert str(tmp_path) not in sys.path


def test_changed_code_is_another_model_and_two_projects_do_not_mix(tmp_path: Path) -> None:
    identities, texts = set(), []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "product.py").write_text(f"def text(request): return '{name}'\n")

        async def run(folder: Path = folder) -> Sample:
            model = opened("python:product:text", project=folder)
            identities.add(model.identity)
            sample = await model.draw(draw_of({"input": {"request": "Hi"}}))
            await model.close()
            return sample

        found = asyncio.run(run()).completion
        assert found is not None
        texts.append(found.text)
    assert (len(identities), texts) == (2, ["a", "b"])


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("python:nowhere_at_all:text", "there is no such module in"),
        ("python:product:txt", "has no function `txt`; did you mean `text`?"),
        ("python:bad:text", "importing it failed (SyntaxError"),
    ],
)
def test_a_function_that_is_not_there_is_named(tmp_path: Path, ref: str, words: str) -> None:
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "bad.py").write_text("def")

    async def run() -> None:
        model = opened(ref, project=tmp_path)
        try:
            await model.check()
        finally:
            await model.close()

    with pytest.raises(ModelError) as caught:
        asyncio.run(run())
    assert words in str(caught.value)


# -- http


def ask(request: Mapping[str, Any], act: Act, key: str = "") -> tuple[Sample, FakeServer]:
    async def run() -> tuple[Sample, FakeServer]:
        async with serving(act) as (server, url):
            model = opened(f"http:{url}/ask", key=key)
            sample = await model.draw(draw_of(request))
            await model.close()
            return sample, server

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("act", "pointer", "text"),
    [
        (body({"answers": [{"text": "yes"}]}), {"text": "/answers/0/text"}, "yes"),
        (body({"a/b": {"c": 1}}), {"text": "/a~1b"}, '{"c": 1}'),
        (body("yes"), {}, "yes"),
        (body(b"plain", kind="text/plain"), {}, "plain"),
    ],
)
def test_a_product_gets_a_body_and_its_text_is_found(act: Act, pointer: dict[str, str], text: str) -> None:
    sample, server = ask({"body": {"question": "Hi", "n": 2}, **pointer}, act, key=SECRET)
    assert sample.completion is not None, sample.error
    assert sample.completion.text == text
    assert json.loads(server.bodies[0]) == {"question": "Hi", "n": 2}
    assert server.paths == ["/ask"]  # type: ignore[attr-defined]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (body({"answers": []}), "nothing at `/answers/0`: at `0` there are 0 items"),
        (body({"other": 1}), "nothing at `/answers/0`: at `answers` there are keys other"),
        (body(b"<html>", kind="text/html"), "an HTML page instead of JSON"),
    ],
)
def test_an_answer_without_the_text_is_a_malformed_body(act: Act, words: str) -> None:
    sample, _ = ask({"body": {}, "text": "/answers/0"}, act)
    assert words in (sample.error or "")


def test_a_product_keeps_the_promises_of_a_model() -> None:
    async def run() -> None:
        async with serving(body("yes"), error(500)) as (_, url):
            await check_model(opened(f"http:{url}/ask"), draw_of({"body": {}}))
            await check_model(opened(f"{url}/ask"), draw_of({"body": {}}))

    asyncio.run(run())


@pytest.mark.parametrize(
    "ref", ["http:x", "http:ftp://x", "http:https://u:p@x/", "http:https://x/?key=a", "http:http://["]
)
def test_what_is_no_address_of_a_product_is_refused(ref: str) -> None:
    with pytest.raises(UsageError) as caught:
        opened(ref)
    assert caught.value.slug == "base-url"
    assert "u:p" not in str(caught.value)


# -- a person's project


def project(folder: Path, program: str, case: str = "{request: Hi}") -> Path:
    (folder / "program.yaml").write_text(program)
    (folder / "cases.yaml").write_text(f"cases:\n  - {{id: greet, input: {case}, checks: [contains: Hi]}}\n")
    return folder


def test_a_function_is_measured_like_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "product.py").write_text(PRODUCT)
    home = project(tmp_path, "program: p\nmodel: python:product:text\nparams: {tone: kind}\neffects: none\n")
    ran = reroll(capsys, "rerun", "greet", "--budget", 5, "--json", "--project", home)
    assert (ran.code, ran.json["rate"]["n"], ran.json["rate"]["failures"]) == (0, 5, 0)


def test_a_product_behind_an_address_is_measured_like_any_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_background(answer("Hi")) as (server, url):
        http = 'http: {body: {q: "say {request}", all: "{n}"}, text: /choices/0/message/content}\n'
        program = f"program: p\nmodel: http:{url}/v1/chat/completions\neffects: none\n{http}"
        home = project(tmp_path, program, "{request: Hi, n: 3}")
        ran = reroll(capsys, "rerun", "greet", "--budget", 5, "--json", "--project", home)
        assert (ran.code, ran.json["rate"]["n"]) == (0, 5)
        assert json.loads(server.bodies[0]) == {"q": "say Hi", "all": 3}


def test_a_product_whose_effects_nobody_declared_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "product.py").write_text(PRODUCT)
    for more, words in (("", "declare `effects: none`"), ("effects: real\n", "declares `effects: real`")):
        home = project(tmp_path, f"program: p\nmodel: python:product:text\n{more}")
        assert words in reroll(capsys, "rerun", "greet", "--project", home).complaint


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("model: python:a:b\nsystem: Be kind.\n", "`system`: a python: model gets the case's inputs and not this"),
        ("model: http:http://x/y\nparams: {a: 1}\n", "`params`: a http: model gets the case's inputs"),
        ("model: bundled\nhttp: {text: /a}\n", "`http`: this is for http: models, and the model is `bundled`"),
        ("model: http:http://x/y\nhttp: {text: a}\n", "`http.text`: 'a' does not have the form"),
        ("model: http:http://x/y\nhttp: {txt: /a}\n", "unknown key; did you mean `text`?"),
    ],
)
def test_keys_that_a_product_does_not_read_are_refused_with_their_line(
    tmp_path: Path, program: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_project(project(tmp_path, f"program: p\n{program}"))
    assert words.replace("'a'", "a") in str(caught.value).replace("'a'", "a").replace("`a`", "a").replace('"a"', "a")


def test_an_input_that_a_parameter_shadows_or_the_body_lacks_is_an_error_before_any_call(tmp_path: Path) -> None:
    home = project(tmp_path, "program: p\nmodel: python:a:b\nparams: {request: x}\n")
    with pytest.raises(UsageError, match="`request` is both in `params` and in the case's input"):
        load_project(home).program.render({"request": "Hi"})
    home = project(tmp_path, 'program: p\nmodel: http:http://x/y\nhttp: {body: {q: ["{words}"]}}\n')
    with pytest.raises(UsageError, match=r"the template `http.body.q.1` needs an input named `words`"):
        load_project(home).program.render({"request": "Hi"})


# -- plugins and references


def factory(name: str, *, base_url: str | None, project: Path) -> Model:
    if name == "broken":
        raise KeyError("x")
    return open_model("openai:" + name, base_url=base_url, project=project)


def test_a_kind_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "tests.test_models_wires:factory", "reroll.models")
    monkeypatch.setattr(registry, "entry_points", lambda group, name: [point] if name == point.name else [])
    assert opened("mine:x", "http://localhost:1").identity == "openai:x@http://localhost:1/v1"
    with pytest.raises(ModelError, match=r"`mine:` models come from .* which failed with KeyError"):
        opened("mine:broken")
    with pytest.raises(UsageError, match="is no model that reroll knows"):
        opened("thine:x")


@pytest.mark.parametrize("ref", ["anthropic", "anthropic:", "python:", "python:x", "python:x:1y", "openai-responses"])
def test_a_reference_without_its_name_is_refused_with_its_form(ref: str) -> None:
    with pytest.raises(UsageError, match="is no model; write ") as caught:
        opened(ref)
    assert caught.value.slug == "unknown-model"


def test_the_programs_in_the_docs_are_programs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    programs = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(programs) == 2
    for text in programs:
        program = load_project(project(tmp_path, text, "{request: Hi, guests: 2}")).program
        assert opened(program.model, project=tmp_path).priced is False
        assert program.render({"request": "Hi", "guests": 2}).body


def test_every_kind_of_model_is_in_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    assert [form for form in registry.FORMS if f"| `{form}` |" not in page] == []


@pytest.mark.parametrize("model", ["openai:gpt-4o", "openai-responses:gpt-4o", "anthropic:claude-3-5-haiku-latest"])
def test_the_price_of_a_vendors_model_is_said_before_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    home = project(tmp_path, f"program: p\nmodel: {model}\n")
    said = reroll(capsys, "rerun", "greet", "--budget", 5000, "--project", home, agree=False).complaint
    assert "USD" in said or "$" in said
    assert "not known" not in said
