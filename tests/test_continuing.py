"""Going on from the first tokens of a completion, on a real llama.cpp server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
