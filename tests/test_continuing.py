"""Going on from the first tokens of a completion, on a real llama.cpp server."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from aiohttp import web

from reroll.errors import ModelError
from reroll.models.continuing import Continuer, _Way, open_continuer, scored_as
from reroll.models.model import Capabilities
from reroll.models.registry import open_model
from reroll.program import Request
from reroll.sample import Completion, Sample, Token

T = TypeVar("T")
MESSAGES = [
    {"role": "system", "content": "You turn a request into one meeting.\nToday is Wednesday 2026-11-18."},
    {"role": "user", "content": "Lunch with Ana next Friday at noon"},
]
CAN = Capabilities(logprobs=20, prefix_continuation=True, token_prompt=True)


def with_bundled(work: Callable[[Continuer], Awaitable[T]], can: Capabilities = CAN, **params: object) -> T:
    async def inside() -> T:
        model = open_model("bundled")
        try:
            body = {"messages": MESSAGES, "max_tokens": 64, "temperature": 1, **params}
            return await work(await open_continuer(model, Request("bundled", None, body), can))
        finally:
            await model.close()

    return asyncio.run(inside())


def said(sample: Sample) -> Completion:
    assert sample.completion is not None, sample.error
    return sample.completion


def test_what_goes_on_from_a_prefix_begins_with_it() -> None:
    async def work(c: Continuer) -> None:
        whole = said(await c.go_on(greedy=True))
        for k in (1, 5, len(whole.tokens) - 1):
            after = said(await c.go_on(whole.tokens[:k], greedy=True))
            assert after.text == whole.text
            assert [t.id for t in after.tokens] == [t.id for t in whole.tokens]
            other = said(await c.go_on(whole.tokens[:k], seed=k))
            assert other.tokens[:k] == whole.tokens[:k]
            assert "".join(t.text for t in other.tokens) == other.text

    with_bundled(work)


def test_from_a_prefix_that_fills_the_token_limit_nothing_is_asked_for() -> None:
    async def work(c: Continuer) -> None:
        whole = said(await c.go_on(greedy=True))
        assert len(whole.tokens) == c.limit == 9
        again = await c.go_on(whole.tokens)
        assert (said(again).text, said(again).finish_reason, said(again).tokens) == (whole.text, "length", whole.tokens)
        assert (again.usage.completion_tokens, len(again.attempts)) == (0, 0)

    with_bundled(work, max_tokens=9)


def test_tokens_go_by_id_so_nothing_is_cut_anew_at_the_seam() -> None:
    async def work(c: Continuer) -> None:
        assert (c.tier, c.exact) == ("A", True)
        whole = said(await c.go_on(greedy=True))
        first = whole.tokens[0]
        forced = next(
            Token(text, logprob, id=i)
            for (text, logprob), i in zip(first.top, first.top_ids, strict=True)
            if i != first.id
        )
        after = said(await c.go_on([forced], greedy=True))
        assert after.tokens[0].id == forced.id
        assert after.text.startswith(forced.text)

    with_bundled(work)


def test_the_end_is_a_token_with_a_probability() -> None:
    async def work(c: Continuer) -> None:
        last = said(await c.go_on(greedy=True)).tokens[-1]
        assert last.text == ""
        assert last.logprob is not None
        assert math.exp(last.logprob) > 0.99

    with_bundled(work)


def test_scoring_gives_tokens_the_probabilities_that_they_were_sampled_with() -> None:
    async def work(c: Continuer) -> None:
        drawn = said(await c.go_on(seed=11)).tokens
        scored = await c.score([Token(t.text, id=t.id) for t in drawn])
        for was, found in zip(drawn, scored, strict=True):
            assert found.logprob == pytest.approx(was.logprob, abs=1e-3)
            assert found.id == was.id

    with_bundled(work)


def test_a_limit_of_tokens_counts_the_prefix() -> None:
    async def work(c: Continuer) -> None:
        whole = said(await c.go_on(greedy=True))
        assert len(whole.tokens) == 6
        assert whole.finish_reason == "length"
        assert len(said(await c.go_on(whole.tokens[:4], greedy=True)).tokens) == 6

    with_bundled(work, max_tokens=6)


def test_programs_whose_text_is_more_than_their_tokens_are_not_gone_on_from() -> None:
    async def work(c: Continuer) -> None:
        assert c.tier == "C"
        assert "`response_format`" in c.why
        with pytest.raises(ModelError, match="cannot go on"):
            await c.go_on()

    with_bundled(work, response_format={"type": "json_object"})


def test_a_recording_has_no_tokens_to_ask_for(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "r.jsonl").write_text('{"case_id": "a", "run": 0, "completion": "x"}\n')
    model = open_model("recorded:r.jsonl", project=tmp_path)
    found = asyncio.run(open_continuer(model, Request("m", None, {"messages": MESSAGES}), Capabilities()))
    assert found.tier == "D"


def test_a_token_that_is_not_listed_has_no_probability() -> None:
    listed = Token("a", -0.1, (("a", -0.1), ("b", -3.0)), 1, (1, 2))
    assert scored_as(Token("b", id=2), listed).logprob == -3.0
    assert scored_as(Token("c", id=3), listed).logprob is None
    assert scored_as(Token("b"), Token("a", -0.1, (("b", -3.0),))).logprob == -3.0


async def serve_like_vllm(calls: list[dict[str, object]]) -> tuple[web.AppRunner, str]:
    """A server that cuts prompts and scores them in one call, as vLLM documents it; its tokens are 7 and 8."""

    async def tokenize(request: web.Request) -> web.Response:
        return web.json_response({"tokens": [1, 2, 3]})

    async def complete(request: web.Request) -> web.Response:
        calls.append(await request.json())
        rows = [None, {}, {}] + [
            {str(i): {"logprob": lp, "decoded_token": text} for i, lp, text in row}
            for row in ([(7, -0.25, "a"), (9, -1.5, "b")], [(9, -0.5, "b")])
        ]
        choice = {"text": "x", "finish_reason": "length", "prompt_logprobs": rows}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})

    app = web.Application()
    app.router.add_post("/tokenize", tokenize)
    app.router.add_post("/v1/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"


def test_a_server_that_scores_prompts_is_asked_once_and_the_call_is_counted() -> None:
    calls: list[dict[str, object]] = []
    told: list[Sample] = []

    async def work() -> None:
        runner, url = await serve_like_vllm(calls)
        model = open_model("openai:m", base_url=url)
        try:
            can = Capabilities(logprobs=2, token_prompt=True, prompt_logprobs=True)
            continuer = await open_continuer(model, Request("m", url, {"messages": MESSAGES}), can)
            scored = await continuer.score([Token("a", id=7), Token("c", id=8)], tally=told.append)
            assert [(t.id, t.logprob, t.top_ids) for t in scored] == [(7, -0.25, (7, 9)), (8, None, (9,))]
        finally:
            await model.close()
            await runner.cleanup()

    asyncio.run(work())
    assert [call["prompt"] for call in calls] == [[1, 2, 3, 7, 8]]
    assert calls[0]["prompt_logprobs"] == 2
    assert len(told) == 1
    assert told[0].usage.completion_tokens == 1


Lists = dict[str, list[Any]]
NEW = {"tokens": ["!"], "token_logprobs": [-0.75], "top_logprobs": [{"!": -0.75}]}
PROMPT: Lists = {
    "tokens": ["<s>", "Hi", "\n", "Fri", "day"],
    "token_logprobs": [None, -2.0, -1.0, -0.25, -4.0],
    "top_logprobs": [None, {"Hi": -2.0}, {"\n": -1.0}, {"Fri": -0.25, "Sat": -1.5}, {"": -0.125, "s": -2.5}],
}


def longer(lists: Lists) -> Lists:
    return {key: [*lists[key], *NEW[key]] for key in lists}


def changed(key: str, at: int, value: Any) -> Lists:
    return {k: [value if (k, i) == (key, at) else one for i, one in enumerate(found)] for k, found in PROMPT.items()}


@contextlib.asynccontextmanager
async def serve_echo(lists: Lists, counted: int | None = 5, **more: Any) -> AsyncIterator[tuple[list[Any], str]]:
    """A server that repeats the prompt with these lists, as SGLang does; a new token is the likeliest in its place."""
    calls: list[dict[str, Any]] = []

    async def tokenize(request: web.Request) -> web.Response:
        return web.json_response({"tokens": [1, 2, 3]})

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        calls.append(body)
        said = lists
        if not body.get("echo"):
            at = len(body["prompt"])
            top = PROMPT["top_logprobs"][at]
            likeliest = max(top, key=lambda text: float(top[text]))
            said = {"tokens": [likeliest], "token_logprobs": [top[likeliest]], "top_logprobs": [top]}
        choice = {"text": "".join(said["tokens"]), "finish_reason": "length", "logprobs": said, **more}
        usage = {"prompt_tokens": counted if body.get("echo") else len(body["prompt"]), "completion_tokens": 1}
        return web.json_response({"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/tokenize", tokenize)
    app.router.add_post("/v1/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield calls, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


ECHOES = Capabilities(logprobs=2, token_prompt=True, echo=True, logprobs_mode="raw")
ASKED = (Token(" Fri", id=7), Token("day", id=8))


def scored_by_echo(
    lists: Lists, counted: int | None = 5, can: Capabilities = ECHOES, first: int = 0, more: Any = None, **params: Any
) -> tuple[tuple[Token, ...], list[dict[str, Any]], int]:
    """The tokens scored, the calls that the server got, and how many were told of."""
    told: list[Sample] = []

    async def work() -> tuple[tuple[Token, ...], list[dict[str, Any]]]:
        async with serve_echo(lists, counted, **(more or {})) as (calls, url):
            model = open_model("openai:m", base_url=url, environment={})
            request = Request("m", url, {"messages": MESSAGES, **params})
            continuer = await open_continuer(model, request, can)
            scored = await continuer.score(ASKED, first=first, tally=told.append)
            await model.close()
            return scored, calls

    return *asyncio.run(work()), len(told)


@pytest.mark.parametrize("lists", [PROMPT, longer(PROMPT)], ids=["nothing new", "a new token behind"])
@pytest.mark.parametrize("counted", [5, None])
def test_a_server_that_repeats_the_prompt_scores_it_in_one_call(lists: Lists, counted: int | None) -> None:
    scored, calls, told = scored_by_echo(lists, counted, top_p=0.9)
    assert [call["prompt"] for call in calls] == [[1, 2, 3, 7, 8]]
    assert (calls[0]["echo"], calls[0]["logprobs"], calls[0]["max_tokens"], told) == (True, 2, 1, 1)
    assert scored == (
        Token(" Fri", -0.25, ((" Fri", -0.25), ("Sat", -1.5)), 7),  # spelt with its space, as it was handed in
        Token("day", -4.0, (("", -0.125), ("s", -2.5)), 8),  # not listed, and still told
    )


@pytest.mark.parametrize(
    ("lists", "counted"),
    [
        ({key: found[1:] for key, found in PROMPT.items()}, 5),  # without the token that the prompt begins with
        (longer(longer(PROMPT)), 5),
        (changed("tokens", 4, "days"), 5),  # cut anew
        (longer({key: found[1:] for key, found in PROMPT.items()}), 5),  # as many, but one too far
        (PROMPT, 6),  # a token of beginning was put before it
        (changed("top_logprobs", 4, None), 5),
        ({**PROMPT, "top_logprobs": []}, 5),
        (NEW, 5),  # it passes over echo
    ],
)
def test_an_echo_that_does_not_line_up_is_counted_and_the_tokens_are_asked_for_one_by_one(
    lists: Lists, counted: int
) -> None:
    scored, calls, told = scored_by_echo(lists, counted)
    assert [len(call["prompt"]) for call in calls if call.get("echo")][:1] == [5]
    assert sorted(len(call["prompt"]) for call in calls if not call.get("echo")) == [3, 4]
    assert told == 3
    assert scored[1].logprob is None, "not among what is listed for its place"


def test_tokens_that_read_alike_share_a_key_and_each_keeps_its_own_probability() -> None:
    """SGLang keeps the likelier one's number, vLLM the later one's; the token's own is told beside."""
    behind = {"a": -0.5, "day": -1.0, "s": -2.5}
    scored, _, _ = scored_by_echo(changed("top_logprobs", 4, behind))
    assert (scored[1].logprob, scored[1].top) == (-4.0, (("a", -0.5),)), "what is likelier than the other is listed"
    before = {"a": -0.5, "day": -6.0, "s": -5.0, "t": -7.0}
    scored, _, _ = scored_by_echo(changed("top_logprobs", 4, before))
    assert (scored[1].logprob, scored[1].top) == (-4.0, (("a", -0.5), ("day", -4.0), ("s", -5.0)))
    alike = {"a": -0.5, "day": -4.0}
    scored, _, _ = scored_by_echo(changed("top_logprobs", 4, alike))
    assert scored[1].top == (("a", -0.5), ("day", -4.0))
    untold = scored_by_echo({**changed("token_logprobs", 4, None)})[0]
    assert untold[1].logprob is None, "less likely than all that are listed"


def test_rows_by_id_in_an_echo_are_read_rather_than_its_texts() -> None:
    """vLLM: an answer with echo has its `prompt_logprobs`, too."""
    rows = [None, {}, {}, *({str(i): {"logprob": -0.5, "decoded_token": "x"}} for i in (7, 9))]
    scored, calls, _ = scored_by_echo(changed("tokens", 4, "another"), more={"prompt_logprobs": rows})
    assert len(calls) == 1
    assert [(t.logprob, t.top_ids) for t in scored] == [(-0.5, (7,)), (None, (9,))]


def test_of_an_echo_only_the_tokens_that_are_wanted_are_taken_and_none_is_asked_for_if_none_is() -> None:
    scored, calls, _ = scored_by_echo(PROMPT, first=1)
    assert (scored[0], scored[1].logprob, len(calls)) == (ASKED[0], -4.0, 1)
    assert scored_by_echo(PROMPT, first=2) == (ASKED, [], 0)


@pytest.mark.parametrize(
    ("params", "echoes"),
    [
        ({"temperature": 1}, True),
        ({"temperature": 0.5}, False),
        ({"temperature": 1, "top_p": 0.9}, False),
        ({"temperature": 1, "top_k": 5}, False),
        ({}, False),  # the server's own temperature is not known
    ],
)
def test_an_echo_is_not_mixed_with_probabilities_from_after_sampling(params: dict[str, Any], echoes: bool) -> None:
    """A prompt is not sampled, so what is listed for it is from before."""
    _, calls, _ = scored_by_echo(PROMPT, can=replace(ECHOES, logprobs_mode="sampled"), **params)
    assert any(call.get("echo") for call in calls) == echoes


def listed(*texts: str) -> tuple[Token, ...]:
    return tuple(Token(text, -0.1) for text in texts)


def test_a_server_that_lists_the_tokens_of_the_prefix_again_has_them_cut_off() -> None:
    """It repeats the beginning in text and tokens; the text is cut off by the wire already."""

    async def work(c: Continuer) -> None:
        as_text = Continuer(c.request, c._wire, _Way(None), "A", 20, "")
        prefix = listed('{"', "date")
        for tokens, kept in (
            (listed('{"', "date", '":"', "x"), ('{"', "date", '":"', "x")),  # repeated
            (listed('":"', "x"), ('{"', "date", '":"', "x")),  # not repeated
            (listed('{"da', 'te":"', "x"), ('{"', "date")),  # cut otherwise: one lies over the seam
        ):
            joined = await as_text._joined(prefix, Completion('":"x', tokens=tokens))
            assert joined.text == '{"date":"x'
            assert tuple(t.text for t in joined.tokens) == kept

    with_bundled(work)
