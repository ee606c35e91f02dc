"""The openai wire against a hostile server: nothing is lost, retried in secret, or leaked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from reroll.engine import gate_of, run_draws
from reroll.errors import ModelError, NotCompleted, RerollError, UsageError
from reroll.keys import holds
from reroll.models.conformance import check_model
from reroll.models.connections import Unreachable
from reroll.models.model import Draw
from reroll.models.openai import OpenAIModel, base_address
from reroll.models.quirks import QUIRKS
from reroll.models.secrets import HOST_KEYS, find_key, scrub
from reroll.models.wire import Policy, connection_words, retry_after
from reroll.program import Request
from reroll.sample import Sample
from reroll.store import Store
from tests.fake_server import Act, FakeServer, answer, body, completion, drip, error, hang, reset, serving

SECRET = "hunter2hunter2hunter2"
MESSAGES = [{"role": "user", "content": "Hi"}]


def draw_of(seed: int | None = None, raw: str | None = None, **params: Any) -> Draw:
    request_body = json.loads(raw) if raw else {"messages": MESSAGES, **params}
    return Draw(Request("openai:tiny", None, request_body, raw), "case", 0, seed)


def play(
    *acts: Act, draw: Draw | None = None, key: str = "", timeout: float = 5.0, **policy: Any
) -> tuple[Sample, FakeServer, list[float]]:
    """One draw against these acts: its sample, the server, and what was slept."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> tuple[Sample, FakeServer]:
        async with serving(*acts) as (server, url):
            environment = {"REROLL_API_KEY": key} if key else {}
            model = OpenAIModel(
                "tiny",
                url,
                environment=environment,
                policy=Policy(timeout=timeout, **policy),
                rng=random.Random(1),
                sleep=sleep,
            )
            sample = await model.draw(draw or draw_of())
            await model.close()
            return sample, server

    sample, server = asyncio.run(run())
    return sample, server, slept


def text_of(sample: Sample) -> str:
    assert sample.completion is not None, sample.error
    return sample.completion.text


# -- what is sent


def test_the_body_goes_as_it_is_with_model_and_seed() -> None:
    _, server, _ = play(answer(), draw=draw_of(seed=7, temperature=0.5, made_up={"x": [1]}))
    sent = json.loads(server.bodies[0])
    assert sent == {"messages": MESSAGES, "temperature": 0.5, "made_up": {"x": [1]}, "model": "tiny", "seed": 7}
    assert server.headers[0]["Content-Type"] == "application/json"


def test_without_a_seed_none_is_sent() -> None:
    _, server, _ = play(answer())
    assert "seed" not in json.loads(server.bodies[0])


def test_any_text_can_be_sent() -> None:
    _, server, _ = play(answer(), draw=draw_of(messages=[{"role": "user", "content": "h\u00e9 \U0001f642 \ud800"}]))
    assert json.loads(server.bodies[0])["messages"][0]["content"] == "h\u00e9 \U0001f642 \ud800"


def test_a_raw_request_goes_byte_for_byte() -> None:
    raw = '{ "model":"other",\n"messages" : [{"role":"user","content":"h\\u00e9"}] ,"seed":1}'
    sample, server, _ = play(answer(), draw=draw_of(seed=99, raw=raw))
    assert server.bodies[0] == raw.encode()
    assert sample.seed is None


def test_the_key_goes_in_the_header_and_nowhere_else() -> None:
    sample, server, _ = play(answer("fine"), key=SECRET)
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(sample)
    _, server, _ = play(answer("fine"))
    assert "Authorization" not in server.headers[0]


# -- what comes back


def test_a_plain_answer_is_read_in_full() -> None:
    sample, _, slept = play(answer("hello"), draw=draw_of(seed=3))
    assert sample.completion is not None
    assert (sample.completion.text, sample.completion.finish_reason) == ("hello", "stop")
    assert (sample.model, sample.fingerprint, sample.seed) == ("tiny-2026-01-01", "fp_1", 3)
    assert (sample.usage.prompt_tokens, sample.usage.completion_tokens) == (9, 3)
    assert sample.usage.usd is None, "a server that we do not know has no known price"
    assert json.loads(sample.raw or "") == completion("hello")
    (attempt,) = sample.attempts
    assert (attempt.status, attempt.error, attempt.waited, attempt.request_id) == (200, None, 0.0, "req-1")
    assert slept == []


def test_logprobs_become_tokens() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "id": 5, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}
    sample, _, _ = play(answer("Hi", logprobs={"content": [entry]}))
    assert sample.completion is not None
    (token,) = sample.completion.tokens
    assert (token.text, token.logprob, token.id, token.top) == ("Hi", -0.1, 5, (("Hi", -0.1),))


@pytest.mark.parametrize(
    ("more", "text", "reason"),
    [
        ({"finish_reason": "length"}, "cut", "length"),
        ({"finish_reason": "content_filter"}, None, "content_filter"),
        ({"finish_reason": None}, "ok", "unknown"),
        ({"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}, "ab", "stop"),
    ],
)
def test_stops_of_every_kind_are_completions(more: dict[str, Any], text: str | None, reason: str) -> None:
    sample, _, _ = play(answer(text, **more))
    assert sample.completion is not None
    assert (sample.completion.text, sample.completion.finish_reason) == (text or "", reason)
    assert sample.error is None


def test_a_refusal_is_a_completion() -> None:
    sample, _, _ = play(answer(None, message={"refusal": "I will not"}))
    assert sample.completion is not None
    assert sample.completion.refusal == "I will not"


def test_tool_calls_are_kept_as_they_came() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    sample, _, _ = play(answer(None, message={"tool_calls": [call]}, finish_reason="tool_calls"))
    assert sample.completion is not None
    assert sample.completion.tool_calls == (call,)


def test_a_filtered_prompt_is_an_answer_of_the_service() -> None:
    sample, server, _ = play(error(400, "the prompt was filtered", code="content_filter"))
    assert sample.completion is not None
    assert sample.completion.finish_reason == "content_filter"
    assert sample.completion.refusal == "http 400: the prompt was filtered".removeprefix("http 400: ")
    assert server.calls == 1


@pytest.mark.parametrize(("content", "text"), [("One two three", " three"), ("three", "three")])
def test_an_echoed_prefix_is_cut_off_only_where_it_is_echoed(content: str, text: str) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "One two"}]
    sample, server, _ = play(answer(content), draw=draw_of(messages=messages))
    assert json.loads(server.bodies[0])["messages"] == messages
    assert text_of(sample) == text


# -- failures that another try may cure


def test_retry_after_in_seconds_is_slept_exactly() -> None:
    sample, _, slept = play(
        error(429, headers={"Retry-After": "7"}), error(529, headers={"Retry-After": "0.5"}), answer()
    )
    assert text_of(sample) == "ok"
    assert slept == [7.0, 0.5]
    assert [(a.status, a.waited) for a in sample.attempts] == [(429, 0.0), (529, 7.0), (200, 0.5)]


def test_retry_after_as_a_date_is_measured_against_the_servers_own_clock() -> None:
    headers = {"Date": "Mon, 23 Nov 2026 08:00:00 GMT", "Retry-After": "Mon, 23 Nov 2026 08:00:42 GMT"}
    sample, _, slept = play(error(503, headers=headers), answer())
    assert text_of(sample) == "ok"
    assert slept == [42.0]
    assert retry_after("Mon, 23 Nov 2020 08:00:00 GMT") == 0.0


def test_without_retry_after_waits_double_with_jitter() -> None:
    sample, _, slept = play(*[error(429)] * 5, answer())
    assert text_of(sample) == "ok"
    assert all(0.5 * full <= s <= full for s, full in zip(slept, [0.5, 1, 2, 4, 8], strict=True))


def test_throttling_ends_after_its_own_limit() -> None:
    sample, server, _ = play(error(429, "slow down"), throttled_tries=4)
    assert (sample.error, server.calls) == ("http 429: slow down", 4)


def test_a_wait_beyond_the_limit_is_not_waited() -> None:
    sample, server, slept = play(error(429, "tomorrow", headers={"Retry-After": "86400"}))
    assert sample.error == "http 429: tomorrow (asks to wait 86400 s, the limit is 300 s)"
    assert (server.calls, slept) == (1, [])


def test_an_empty_account_is_not_tried_again() -> None:
    sample, server, _ = play(error(429, "You exceeded your current quota", code="insufficient_quota"))
    assert sample.error == "http 429: You exceeded your current quota"
    assert server.calls == 1


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (error(500, "oops"), "http 500: oops"),
        (body(b"<html>bad gateway</html>", 502, kind="text/html"), "http 502: an HTML page"),
        (error(503, "starting"), "http 503: starting"),
        (reset(), "connection reset"),
        (reset(after=b'{"choices": ['), "connection broke in the middle of the body"),
        (
            body(b'{"choices": [{"mess'),
            "malformed body: JSON that breaks off or is wrong (19 bytes of application/json)",
        ),
        (body(b"<html>login</html>", kind="text/html"), "malformed body: an HTML page instead of JSON"),
        (body(b""), "malformed body: empty"),
        (body(b"[" * 100_000), "malformed body: JSON that breaks off or is wrong (100000 bytes of application/json)"),
        (body(b"\xff\xfe{}"), "malformed body: no JSON (4 bytes of application/json)"),
        (body([1]), "malformed body: JSON, but a list instead of an object"),
        (body({"ok": True}), "malformed body: no `choices`"),
        (body({"choices": []}), "malformed body: `choices` is empty"),
        (body({"choices": [{"text": "old"}]}), "malformed body: a choice has no `message`"),
        (body({"choices": [{"message": {"content": 5}}]}), "malformed body: `content` is a int"),
        (body({"error": {"message": "upstream died", "code": 502}}), "http 502: upstream died"),
    ],
)
def test_three_tries_then_an_error_that_says_what_it_was(act: Act, words: str) -> None:
    sample, server, slept = play(act)
    assert (sample.error, sample.completion) == (words, None)
    assert (server.calls, len(sample.attempts), len(slept)) == (3, 3, 2)
    assert all(a.error == words for a in sample.attempts)


@pytest.mark.parametrize("act", [error(500), reset(), reset(after=b'{"a'), body(b"{"), body({"choices": []})])
def test_one_failure_then_a_good_answer(act: Act) -> None:
    sample, server, _ = play(act, answer("second"))
    assert text_of(sample) == "second"
    assert server.calls == 2
    assert sample.attempts[0].error
    assert sample.attempts[1].error is None


def test_a_server_that_hangs_is_a_time_out() -> None:
    sample, server, _ = play(hang(), timeout=0.05)
    assert sample.error == "time-out after 0.05 s"
    assert server.calls == 3
    assert all(0.04 < a.seconds < 2 for a in sample.attempts)


def test_a_slow_drip_is_a_time_out_too() -> None:
    sample, _, _ = play(drip(completion("slow"), 0.02), timeout=0.1, tries=1)
    assert sample.error == "time-out after 0.1 s"


# -- failures that no try cures


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (error(400, "max_tokens is too large"), "http 400: max_tokens is too large"),
        (error(402, "bad key"), "http 402: bad key"),
        (error(404, "no such model"), "http 404: no such model"),
        (body({"detail": [{"loc": ["n"]}]}, 422), 'http 422: [{"loc": ["n"]}]'),
        (body(b"plain words", 400, kind="text/plain"), "http 400: plain words"),
        (
            body(b"", 307, {"Location": "https://elsewhere.example"}),
            "http 307: the address has moved to https://elsewhere.example",
        ),
        (body({"error": {"message": "no credit", "code": 402}}), "http 402: no credit"),
    ],
)
def test_other_refusals_are_errors_at_once(act: Act, words: str) -> None:
    sample, server, _ = play(act)
    if words.startswith("http 422"):
        words = "http 422: " + json.dumps([{"loc": ["n"]}])
    assert (sample.error, server.calls) == (words, 1)


def test_a_streamed_answer_says_what_to_change() -> None:
    sample, _, _ = play(body(b"data: {}\n\n", kind="text/event-stream"), draw=draw_of(stream=True))
    assert sample.error is not None
    assert "take `stream` out" in sample.error


def test_a_long_message_is_shortened() -> None:
    sample, _, _ = play(error(400, "x" * 5000))
    assert len(sample.error or "") < 320


# -- secrets


def test_a_key_that_the_server_repeats_is_scrubbed_everywhere() -> None:
    said = f"Incorrect API key {SECRET}; header was Bearer {SECRET}; also sk-proj-abcdef123456"
    for act in (error(402, said), body(f"<{SECRET}>".encode(), 400, kind="text/plain"), error(500, said)):
        sample, _, _ = play(act, key=SECRET)
        assert SECRET not in repr(sample)
        assert "sk-proj" not in repr(sample)
        assert "[secret]" in (sample.error or "")
    sample, _, _ = play(answer(f"your key is {SECRET}"), key=SECRET)
    assert SECRET not in repr(sample)


SLASHED = "sk-live/very-secret-0123456789"
PHP = SLASHED.replace("/", "\\/").encode()
UNICODE = SLASHED.replace("s", "\\u0073").encode()
MARK = b"KEY-HERE"


def echoing(place: dict[str, Any], spelling: bytes) -> Act:
    """An answer with the key, as the server spells it, where `place` has the mark."""
    return body(json.dumps({**completion(), **place}).encode().replace(MARK, spelling))


def choice(**message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": "stop", "message": {"content": "ok", **message}}]}


MARKED = MARK.decode()
CALL = {"id": MARKED, "function": {"name": "f", "arguments": json.dumps({"key": [f"Bearer {MARKED}"]})}}


@pytest.mark.parametrize("spelling", [SLASHED.encode(), PHP, UNICODE])
@pytest.mark.parametrize(
    "place",
    [
        choice(content=f"It is {MARKED}."),
        choice(content=[{"type": "text", "text": MARKED}]),
        choice(content=None, refusal=f"No, {MARKED}."),
        choice(tool_calls=[CALL]),
        choice(tool_calls=[{"function": {"name": "f", "arguments": {"a": {MARKED: [MARKED]}}}}]),
        {"choices": [{"finish_reason": MARKED, "message": {"content": "ok"}}]},
        {"model": MARKED},
        {"system_fingerprint": f"fp_{MARKED}"},
        {"somewhere": {"else": [MARKED]}},
        {"choices": [], "error": {"message": f"bad key {MARKED}", "code": 400}},
        {"choices": [], "error": [MARKED]},
    ],
    ids=str,
)
def test_a_key_that_the_server_spells_otherwise_is_scrubbed_all_the_same(
    place: dict[str, Any], spelling: bytes
) -> None:
    sample, _, _ = play(echoing(place, spelling), key=SLASHED)
    assert not holds(dataclasses.asdict(sample), SLASHED)
    assert not holds(json.loads(sample.raw or "null"), SLASHED)
    assert "very-secret" not in repr(sample)
    assert (sample.completion is None) == ("error" in place)


def test_a_key_in_a_header_or_an_error_body_is_scrubbed() -> None:
    for act in (
        body(completion(), headers={"x-request-id": f"req-{SLASHED}"}),
        body(b'{"error": {"message": "bad key ' + PHP + b'"}}', 402, {"request-id": SLASHED}),
        body(b'{"error": {"code": "content_filter", "message": "' + UNICODE + b'"}}', 400),
        body(b"<" + UNICODE + b">", 400, kind="text/plain"),
        body(b"{}", kind=f"text/{SLASHED.replace('/', '-')}"),
    ):
        sample, _, _ = play(act, key=SLASHED)
        assert "very-secret" not in repr(sample).replace(SLASHED.replace("/", "-"), "")


@pytest.mark.parametrize("text", [SLASHED, "ok"])
def test_a_key_that_is_spread_over_tokens_takes_the_tokens_with_it(text: str) -> None:
    pieces = [SLASHED[i : i + 4] for i in range(0, len(SLASHED), 4)]
    entries = [{"token": p, "logprob": -1, "bytes": list(p.encode()), "top_logprobs": []} for p in pieces]
    sample, _, _ = play(answer(text, logprobs={"content": entries}), key=SLASHED)
    assert sample.completion is not None
    assert (sample.completion.tokens, sample.raw) == ((), None)


def test_tokens_stay_where_no_key_was_repeated() -> None:
    entries = [{"token": "ok", "logprob": -1, "top_logprobs": [{"token": "ok", "logprob": -1}]}]
    sample, _, _ = play(answer("ok", logprobs={"content": entries}), key=SLASHED)
    assert sample.completion is not None
    assert len(sample.completion.tokens) == 1
    assert sample.raw is not None


def test_a_stand_in_for_a_key_is_no_secret() -> None:
    sample, _, _ = play(answer("none of these"), key="none")
    assert text_of(sample) == "none of these"


def test_the_probe_and_the_list_of_models_repeat_no_key() -> None:
    async def run() -> str:
        acts = body(b'{"error": {"message": "bad key ' + PHP + b'"}}', 400)
        async with serving(acts, models=listing(f"tiny-{SLASHED}")) as (_, url):
            model = OpenAIModel("tiny", url, environment={"REROLL_API_KEY": SLASHED})
            notes = (await model.probe()).notes
            with pytest.raises(ModelError, match="has no model `tiny`") as caught:
                await model.check()
            await model.close()
            return f"{notes} {caught.value}"

    said = asyncio.run(run())
    assert "bad key [secret]" in said
    assert "very-secret" not in said


# -- numbers that nobody can mean


@pytest.mark.parametrize("count", [2**70, 10**9 + 1, -1, 2.5, "7", True, None])
def test_a_count_of_tokens_that_can_be_none_is_not_known(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    sample, _, _ = play(body({**completion(), "usage": usage}))
    assert text_of(sample) == "ok"
    assert (sample.usage.prompt_tokens, sample.usage.completion_tokens) == (None, None)
    with Store.open(":memory:") as store:
        id = store.add_sample(sample, request_id="r", series="s", idx=0, program_id="p", case_id="c")
        assert store.sample(id).sample.usage == sample.usage


@pytest.mark.parametrize("more", [{"id": 2**70}, {"logprob": 10**400}, {"logprob": "x"}, {"token": 7}])
def test_no_number_in_a_token_makes_a_sample_that_cannot_be_stored(more: dict[str, Any]) -> None:
    entry = {"token": "ok", "logprob": -1, "top_logprobs": [], **more}
    sample, _, _ = play(answer("ok", logprobs={"content": [entry]}))
    assert ("id" in more) == (sample.completion is not None)
    with Store.open(":memory:") as store:
        store.add_sample(sample, request_id="r", series="s", idx=0, program_id="p", case_id="c")


def test_an_error_code_of_many_digits_is_an_error_like_others() -> None:
    sample, _, _ = play(body({"error": {"message": "no", "code": "9" * 5000}}))
    assert sample.error == "http 200: no"


def test_tool_calls_that_are_nested_too_deeply_are_an_error_and_not_a_crash() -> None:
    deep = "[" * 900 + "]" * 900
    raw = json.dumps({**completion(), **choice(tool_calls=[{"a": "HERE"}])}).replace('"HERE"', deep)
    sample, _, _ = play(body(raw.encode()), key=SLASHED)
    assert sample.completion is not None or "malformed body" in (sample.error or "")


def test_what_a_model_wrote_is_not_changed_because_it_looks_like_a_key() -> None:
    sample, _, _ = play(answer("use sk-abcdefgh12345"), key=SECRET)
    assert text_of(sample) == "use sk-abcdefgh12345"


def test_no_key_shows_in_a_repr() -> None:
    model = OpenAIModel("tiny", "https://api.openai.com", environment={"OPENAI_API_KEY": SECRET})
    assert SECRET not in repr(model) + model.identity + repr(vars(model)["_key"])
    assert scrub("Bearer abc, AIzaSyA12345678") == "[secret], [secret]"


@pytest.mark.parametrize(
    ("url", "environment", "key"),
    [
        ("https://api.openai.com/v1", {"OPENAI_API_KEY": "o"}, "o"),
        ("https://api.openai.com/v1", {"OPENAI_API_KEY": "o", "REROLL_API_KEY": "r"}, "r"),
        ("https://evil.example/v1", {"OPENAI_API_KEY": "o"}, None),
        ("https://api.openai.com.evil.example/v1", {"OPENAI_API_KEY": "o"}, None),
        ("https://own.example/v1", {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "https://own.example/v1"}, "o"),
        ("https://openrouter.ai/api/v1", {"OPENAI_API_KEY": "o", "OPENROUTER_API_KEY": "p"}, "p"),
        ("https://us.openai.azure.com/openai/v1", {"AZURE_OPENAI_API_KEY": "a"}, "a"),
        ("http://127.0.0.1:8080/v1", {"OPENAI_API_KEY": "o"}, None),
    ],
)
def test_a_key_goes_only_where_it_belongs(url: str, environment: dict[str, str], key: str | None) -> None:
    assert find_key(url, environment).value == key


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds white space") as problem:
        OpenAIModel("tiny", environment={"OPENAI_API_KEY": f"{SECRET}\nX"})
    assert SECRET not in str(problem.value)
    assert find_key("https://api.openai.com", {"OPENAI_API_KEY": f" {SECRET}\n"}).value == SECRET


def test_every_host_with_a_key_of_its_own_is_in_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    assert [name for pair in HOST_KEYS.items() for name in pair if name not in page] == []


# -- check


def check(
    models: Act | None, name: str = "tiny", url: str | None = None, environment: dict[str, str] | None = None
) -> str:
    """What `check` complains about, or nothing."""

    async def run() -> str:
        async with serving(models=models) as (_, own):
            model = OpenAIModel(name, url or own, environment=environment or {}, policy=Policy(timeout=2))
            try:
                await model.check()
            except ModelError as problem:
                return str(problem)
            finally:
                await model.close()
            return ""

    return asyncio.run(run())


def listing(*names: str, owner: str = "someone") -> Act:
    return body({"object": "list", "data": [{"id": n, "owned_by": owner} for n in names]})


def test_check_passes_where_the_model_is_listed_or_nothing_is() -> None:
    assert check(listing("tiny", "big")) == ""
    assert check(listing("tiny:latest")) == ""
    assert check(listing("/models/x.gguf", owner="llamacpp")) == ""
    assert check(None) == "", "a server without /models passes"
    assert check(body(b"not json")) == ""
    assert check(error(500)) == ""


def test_check_suggests_the_nearest_name() -> None:
    assert "did you mean `gpt-4o-mini`?" in check(listing("gpt-4o-mini", "whisper"), "gpt4o-mini")
    assert "for example, `aa`" in check(listing("aa", "bb"), "zzzz-unlike")


def test_check_names_the_missing_key() -> None:
    assert "set the environment variable OPENAI_API_KEY (or REROLL_API_KEY)" in check(
        None, url="https://api.openai.com"
    )
    assert "OPENROUTER_API_KEY" in check(None, url="https://openrouter.ai/api/v1")


@pytest.mark.parametrize("status", [401, 403])
def test_check_says_that_a_key_is_refused_without_showing_it(status: int) -> None:
    said = check(error(status, f"key {SECRET} is wrong"), environment={"REROLL_API_KEY": SECRET})
    assert f"refuses this key (http {status}: key [secret] is wrong)" in said
    assert "wants a key" in check(error(status))


def test_check_tells_refused_dns_and_tls_apart() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert "connection refused by 127.0.0.1" in check(None, url=closed)
    dns = Unreachable("nowhere", 80, socket.gaierror(socket.EAI_NONAME, "?"))
    assert connection_words(dns, 1) == "host name `nowhere` is not known (DNS)"

    async def plain_where_tls_is_expected() -> str:
        async with serving() as (_, own):
            model = OpenAIModel("tiny", own.replace("http:", "https:"), environment={}, policy=Policy(timeout=2))
            try:
                await model.check()
            except ModelError as problem:
                return str(problem)
            finally:
                await model.close()
        return ""

    assert "TLS failed" in asyncio.run(plain_where_tls_is_expected())


def test_check_does_not_wait_for_ever() -> None:
    async def run() -> str:
        async with serving(models=hang()) as (_, own):
            model = OpenAIModel("tiny", own, environment={}, policy=Policy(timeout=0.05))
            with pytest.raises(ModelError) as problem:
                await model.check()
            await model.close()
            return str(problem.value)

    assert "time-out after 0.05 s" in asyncio.run(run())


# -- many at once


def test_under_every_fault_at_once_each_draw_settles_once_and_nothing_is_hidden() -> None:
    chance = random.Random(4)
    faults = [error(429, headers={"Retry-After": "1"}), error(500), reset(), reset(b'{"a'), body(b"{"), error(529)]
    acts = [chance.choice(faults) if chance.random() < 0.3 else answer() for _ in range(3000)]

    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def run() -> None:
        async with serving(*acts) as (server, url):
            policy = Policy(timeout=5)
            model = OpenAIModel("tiny", url, environment={}, policy=policy, rng=random.Random(1), sleep=no_sleep)
            got: dict[int, Sample] = {}
            draws = [Draw(draw_of().request, "case", i, i) for i in range(400)]
            assert await run_draws(model, draws, 32, lambda d, s: got.update({d.index: s})) == 400
            await model.close()
            assert sorted(got) == list(range(400))
            assert all((s.completion is None) != (s.error is None) for s in got.values())
            assert sum(len(s.attempts) for s in got.values()) == server.calls
            assert server.most_at_once <= 32
            sent = [json.loads(b)["seed"] for b in server.bodies]
            assert all(sent.count(i) == len(s.attempts) for i, s in got.items())
            assert gate_of(model).limit < 32

    asyncio.run(run())


# -- addresses and promises


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "https://u:p@x/v1", "https://x/v1?key=abc", ""])
def test_what_is_no_plain_web_address_is_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(UsageError) as problem:
        base_address(url)
    assert "u:p" not in str(problem.value)


def test_the_identity_names_the_model_and_the_address() -> None:
    assert OpenAIModel("m", "https://x.example/v1/", environment={}).identity == "openai:m@https://x.example/v1"


def test_the_wire_keeps_the_promises_of_a_model() -> None:
    async def run(act: Act) -> Sample:
        async with serving(act) as (_, url):
            return await check_model(OpenAIModel("tiny", url, environment={}), draw_of(seed=5))

    assert text_of(asyncio.run(run(answer()))) == "ok"
    assert asyncio.run(run(error(400))).error == "http 400: no"


def test_being_cancelled_is_the_one_thing_that_draw_raises() -> None:
    async def run() -> None:
        async with serving(hang()) as (server, url):
            model = OpenAIModel("tiny", url, environment={})
            task = asyncio.create_task(model.draw(draw_of()))
            await server.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await model.close()

    asyncio.run(run())


def test_a_bare_server_gets_honest_capabilities() -> None:
    async def run(act: Act) -> Any:
        async with serving(act) as (_, url):
            model = OpenAIModel("tiny", url, environment={})
            found = await model.probe()
            await model.close()
            return found

    found = asyncio.run(run(answer("same")))
    assert (found.n, found.seed, found.temperature, found.logprobs) == (False, False, True, 0)
    assert (found.prefix_continuation, found.token_ids, found.json_schema, found.tools) == (False,) * 4
    assert len(found.notes) == 7
    dead = asyncio.run(run(error(500, "down")))
    assert dead.n is None
    assert dead.notes == ("A plain call failed, so nothing else was tried: http 500, down.",)


# -- what ends a run at once


def stopped(*acts: Act, models: Act | None = None, before: int = 0, variable: str = "REROLL_API_KEY") -> Exception:
    """What the last of so many draws raises."""

    async def run() -> Exception:
        async with serving(*acts, models=models) as (_, url):
            model = OpenAIModel("tiny", url, environment={variable: SECRET, "OPENAI_BASE_URL": url})
            for _ in range(before):
                await model.draw(draw_of())
            try:
                with pytest.raises(RerollError) as caught:
                    await model.draw(draw_of())
                return caught.value
            finally:
                await model.close()

    return asyncio.run(run())


@pytest.mark.parametrize("variable", ["REROLL_API_KEY", "OPENAI_API_KEY"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_run_and_the_variable_that_held_it_is_named(status: int, variable: str) -> None:
    problem = stopped(error(status, f"wrong key {SECRET}"), variable=variable)
    assert isinstance(problem, ModelError)
    assert problem.slug == "key-refused"
    assert f"refuses this key (http {status}: wrong key [secret]); check {variable}, which held it" in str(problem)


def test_a_key_that_expires_on_the_way_leaves_a_run_that_goes_on_later() -> None:
    problem = stopped(answer(), error(401, "expired"), before=1)
    assert isinstance(problem, NotCompleted)
    assert (problem.slug, problem.exit_code) == ("key-refused", 4)
    assert "the same command goes on" in str(problem)


def test_a_403_about_one_prompt_is_one_sample_once_others_were_answered() -> None:
    async def run() -> Sample:
        async with serving(answer(), error(403, "flagged")) as (_, url):
            model = OpenAIModel("tiny", url, environment={})
            await model.draw(draw_of())
            sample = await model.draw(draw_of())
            await model.close()
            return sample

    assert asyncio.run(run()).error == "http 403: flagged"


def test_a_model_that_is_not_there_is_named_with_the_nearest_ones() -> None:
    problem = stopped(error(404, "no such model"), models=listing("tiny-2", "tiny-3", "whisper"))
    assert "has no model `tiny`; did you mean `tiny-" in str(problem)
    sample, _, _ = play(error(404, "no such route"))
    assert sample.error == "http 404: no such route", "without a list of models nobody knows what is missing"


def test_a_web_site_is_no_model_server_and_is_said_to_be_one() -> None:
    said = check(body(b"<!doctype html><p>Welcome", kind="text/html"))
    assert "answers with an HTML page, so it is a web site and no model server" in said


def test_cached_tokens_are_kept_beside_the_prompt() -> None:
    sample, _, _ = play(answer())
    assert (sample.usage.prompt_tokens, sample.usage.cached_tokens) == (9, 4)


def test_every_quirk_is_in_the_docs() -> None:
    page = " ".join((Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8").split())
    assert [row.server for row in QUIRKS if row.address not in page or row.differs not in page] == []
