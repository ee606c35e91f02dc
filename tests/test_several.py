"""Several completions of one call (n): each is a sample of its own, and what the call took is counted once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from reroll.models.choices import asked_for, choices_of, with_siblings
from reroll.models.conformance import check_model
from reroll.models.model import Draw
from reroll.models.openai import OpenAIModel
from reroll.models.registry import open_model
from reroll.plan import Plan, next_draws, stop_reason
from reroll.program import Request
from reroll.sample import Attempt, Completion, Sample, Token, Usage
from reroll.store import NewSample, Spend, Store, StoredSample, several
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import Act, body, completion, error, reset, serving

MESSAGES = [{"role": "user", "content": "Hi"}]
FOUR = "reference_rate: 0.02\nparams: {n: 4}\n"


def choices(*texts: str | None, total: int | None = None, **more: Any) -> Act:
    """An answer with these texts (None: a choice that is none), in the order of their index."""
    data = completion()
    data["choices"] = [
        {"index": i, "finish_reason": "stop"} | ({} if text is None else {"message": {"content": text}})
        for i, text in enumerate(texts)
    ]
    data["usage"]["completion_tokens"] = total or 3 * len(texts)
    return body(data | more)


def draw_of(n: int, **params: Any) -> Draw:
    return Draw(Request("openai:tiny", None, {"messages": MESSAGES, "n": n, **params}), "case", 0, 7)


def play(act: Act, n: int = 4, key: str = "") -> Sample:
    async def run() -> Sample:
        async with serving(act) as (_, url):
            environment = {"REROLL_API_KEY": key} if key else {}
            model = OpenAIModel("tiny", url, environment=environment, sleep=lambda _: asyncio.sleep(0))
            sample = await model.draw(draw_of(n))
            await model.close()
            return sample

    return asyncio.run(run())


def said(sample: Sample) -> list[str]:
    return [one.completion.text if one.completion else f"! {one.error}" for one in (sample, *sample.siblings)]


# -- one call


def test_every_choice_is_a_sample_and_what_the_call_took_is_counted_with_the_first() -> None:
    sample = play(choices("a", "b", "c", "d"))
    assert said(sample) == ["a", "b", "c", "d"]
    assert sample.usage == Usage(9, 12, None, 4)
    assert sample.raw is not None
    assert len(sample.attempts) == 1
    for one in sample.siblings:
        assert (one.usage, one.attempts, one.raw) == (Usage(0, 0, None, 0), (), None)
        assert (one.seed, one.model, one.fingerprint) == (7, "tiny-2026-01-01", "fp_1")


def test_choices_are_taken_in_the_order_of_their_index() -> None:
    data = completion()
    data["choices"] = [{"index": i, "message": {"content": text}} for i, text in ((1, "b"), (0, "a"))]
    assert said(play(body(data), 2)) == ["a", "b"]


def test_a_failed_call_is_as_many_failed_samples_as_it_should_have_brought() -> None:
    sample = play(error(400, "no such parameter"))
    assert said(sample) == ["! http 400: no such parameter"] * 4
    assert [len(one.attempts) for one in (sample, *sample.siblings)] == [1, 0, 0, 0]


def test_completions_that_did_not_come_stay_in_the_denominator_with_the_reason() -> None:
    missing = "! only 2 of the 4 completions that `n` asks for came back"
    assert said(play(choices("a", "b"))) == ["a", "b", missing, missing]


def test_a_choice_that_cannot_be_read_takes_no_other_with_it() -> None:
    assert said(play(choices("a", None, "c"), 3)) == ["a", "! malformed body: a choice has no `message`", "c"]


def test_what_nobody_asked_for_is_no_sample_but_stays_in_the_raw_body() -> None:
    sample = play(choices("a", "b", "unasked"), 2)
    assert said(sample) == ["a", "b"]
    assert "unasked" in (sample.raw or "")


def test_a_prompt_that_the_content_filter_stops_is_one_answer_of_the_service_and_not_four() -> None:
    sample = play(error(400, "filtered", code="content_filter"))
    assert sample.completion is not None
    assert sample.completion.finish_reason == "content_filter"
    assert [one.completion for one in sample.siblings] == [None] * 3


def test_a_key_that_any_choice_repeats_is_hidden() -> None:
    secret = "hunter2hunter2hunter2"
    sample = play(choices("a", f"it is {secret}"), 2, key=secret)
    assert said(sample) == ["a", "it is [secret]"]
    assert sample.raw is None


@pytest.mark.parametrize(
    ("total", "counts_first", "lengths", "shares"),
    [
        (7, False, (3, 4), [3, 4]),  # the tokens that came are what was counted
        (9, False, (3, 4), [9, 0]),  # counted with something besides: nobody knows whose
        (3, True, (3, 4), [3, 4]),  # llama.cpp counts the first alone
        (3, True, (0, 0), [3, None]),  # and tells nothing of the other
        (None, False, (3, 4), [None, None]),
    ],
)
def test_completion_tokens_go_where_they_belong_if_the_server_tells(
    total: int | None, counts_first: bool, lengths: tuple[int, int], shares: list[int | None]
) -> None:
    one, other = (Completion("x", tokens=(Token("x"),) * length) for length in lengths)
    sample = with_siblings(Sample(one, usage=Usage(9, total)), 2, [other], counts_first=counts_first)
    assert [s.usage.completion_tokens for s in (sample, *sample.siblings)] == shares


@pytest.mark.parametrize("n", [None, 0, -3, True, "4", 2.0, 1])
def test_what_is_no_number_of_completions_asks_for_one(n: Any) -> None:
    assert asked_for({"n": n}) == 1


def test_only_wires_that_read_several_completions_bring_several() -> None:
    kinds = ("openai:x", "openai-completions:x", "bundled", "openai-responses:x", "anthropic:x")
    many = {kind: choices_of(open_model(kind, environment={}), {"n": 4}) for kind in kinds}
    assert many == dict(zip(kinds, (4, 4, 4, 1, 1), strict=True))


@pytest.mark.parametrize("act", [choices("a", "b"), choices("a"), reset(), error(500)])
def test_a_call_for_several_keeps_the_promises_of_a_model(act: Act) -> None:
    async def run() -> None:
        async with serving(act) as (_, url):
            model = OpenAIModel("tiny", url, environment={}, sleep=lambda _: asyncio.sleep(0))
            await check_model(model, draw_of(2))

    asyncio.run(run())


@pytest.mark.parametrize("wire", ["openai", "openai-completions"])
def test_llama_cpp_brings_the_completions_that_its_seeds_would_bring_one_by_one(wire: str) -> None:
    messages = [{"role": "user", "content": "Lunch with Ana next Friday at noon"}]
    params = {"messages": messages, "max_tokens": 40, "temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}

    async def run() -> tuple[Sample, list[Sample]]:
        bundled = open_model("bundled")
        address = (await bundled.wire()).base  # type: ignore[attr-defined]
        model = open_model(f"{wire}:bundled", base_url=address, environment={})
        together = await model.draw(draw_of(3, **params))
        alone = [await model.draw(Draw(draw_of(1, **params).request, "case", 0, 7 + i)) for i in range(3)]
        await model.close()
        await bundled.close()
        return together, alone

    together, alone = asyncio.run(run())
    assert said(together) == [text for one in alone for text in said(one)]
    assert together.usage.prompt_tokens == alone[0].usage.prompt_tokens


# -- what is drawn, and when it ends


def test_draws_are_of_whole_calls_and_never_beyond_the_budget_or_horizon() -> None:
    plan = Plan("certify", target=0.9, budget=10, concurrency=8, per_call=4)
    assert next_draws(plan, []) == 4
    assert next_draws(plan, ["pass"] * 4) == 4
    assert next_draws(plan, ["pass"] * 8) == 0
    assert stop_reason(plan, ["pass"] * 8) == "budget"
    short = Plan("certify", target=0.9, horizon=46, concurrency=8, per_call=4)
    assert stop_reason(short, ["pass", "pass", "fail", "pass"] * 11) in ("decided", "horizon")
    suite = Plan("certify", target=0.9, budget=40, concurrency=8, round_size=3, per_call=4)
    assert next_draws(suite, []) % 12 == 0
    with pytest.raises(ValueError, match="per_call"):
        Plan("certify", target=0.9, per_call=0)


def test_a_call_in_flight_counts_as_one_however_many_samples_it_brings() -> None:
    one, four = (Plan("certify", target=0.99, concurrency=8, per_call=k) for k in (1, 4))
    assert next_draws(one, ["pass"] * 320) == 8
    assert next_draws(four, ["pass"] * 320) == 32


# -- the store


def test_the_samples_of_a_call_have_slots_of_their_own_and_the_store_counts_one_call(tmp_path: Path) -> None:
    call = Sample(
        Completion("a"),
        attempts=(Attempt(1.0, 0.5, 200),),
        usage=Usage(9, 6, 0.5, 4),
        raw="{}",
        siblings=(Sample(Completion("b"), usage=Usage(0, 0, 0.0, 0)), Sample(error="gone", usage=Usage(0, 0, 0.0, 0))),
    )
    new = NewSample(call, "r1:0", "open", 4, "p1:0", "greet")
    with Store.open(tmp_path / "store.sqlite") as store:
        with pytest.raises(ValueError, match="siblings"):
            store.add_samples([new])
        store.add_samples(several(new))
        found = store.samples(payload=True)
        assert [(s.idx, s.choice, said(s.sample)[0]) for s in found] == [(4, 0, "a"), (5, 1, "b"), (6, 2, "! gone")]
        assert store.spend() == Spend(1, 1, 9, 6, 0.5, 0.5, cached_tokens=4, samples=3)


# -- the commands


def stored(project: Path) -> list[StoredSample]:
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        return store.samples()


def test_a_run_counts_samples_against_its_budget_and_says_how_many_calls_it_made(tmp_path: Path, capsys: Any) -> None:
    with in_background(choices("yes", "no", "yes", "no")) as (server, url):
        project = write_project(tmp_path, url, FOUR)
        ran = reroll(capsys, "certify", "greet", "--target", "0.6", "--budget", "10", "--project", project, "--json")
        assert server.calls == 2, "a third call would bring twelve"
        found, cost = ran.json, ran.json["cost"]
        assert (found["rate"]["n"], found["rate"]["failures"]) == (8, 4)
        assert (cost["calls"], cost["samples"], cost["attempts"]) == (2, 8, 2)
        assert (cost["prompt_tokens"], cost["completion_tokens"], cost["cached_tokens"]) == (18, 24, 8)
        assert "the budget of 10 samples was spent" in found["stopped"]
        assert any("4 to a call (n)" in caveat for caveat in found["caveats"])
        assert [s.idx for s in stored(project)] == list(range(8))
        again = reroll(capsys, "certify", "greet", "--target", "0.6", "--budget", "4", "--project", project)
        assert "1 call · 4 samples · 8 reused" in again.out.replace("\n   ", " · ")


def test_seeds_leave_room_for_the_completions_of_a_call(tmp_path: Path, capsys: Any) -> None:
    with in_background(choices("yes", "no", "yes", "no")) as (server, url):
        project = write_project(tmp_path, url, FOUR)
        words = ("certify", "greet", "--target", "0.5", "--budget", "8", "--seed", "1", "--concurrency", "1")
        reroll(capsys, *words, "--project", project)
        first, second = (json.loads(sent)["seed"] for sent in server.bodies)
        assert (second - first) % (1 << 31) == 4 * 64


def test_one_outage_is_not_taken_for_four(tmp_path: Path, capsys: Any) -> None:
    """Three failed calls, twelve failed samples: no dead server yet, and every one of the twelve is invalid."""
    acts = by_number(lambda k: error(400, "busy") if 2 <= k <= 4 else choices("yes", "no", "yes", "no"))
    with in_background(acts) as (_, url):
        project = write_project(tmp_path, url, FOUR)
        words = ("certify", "greet", "--target", "0.5", "--budget", "24", "--concurrency", "1", "--json")
        rate = reroll(capsys, *words, "--project", project).json["rate"]
    assert (rate["n"], rate["invalid"], rate["failures"]) == (24, 12, 6)
    assert {s.source for s in stored(project)} == {"draw"}


def test_a_server_that_never_answers_is_noticed_by_its_calls(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REROLL_TRIES", "1")
    with in_background(error(500)) as (_, url):
        project = write_project(tmp_path, url, FOUR)
        complaint = reroll(capsys, "rerun", "greet", "--concurrency", "1", "--project", project).complaint
    assert "answered none of the first 8 calls" in complaint
    assert (len(stored(project)), {s.source for s in stored(project)}) == (32, {"outage"})


@pytest.mark.parametrize(
    ("words", "said", "slug"),
    [
        (("certify", "greet", "--target", "0.9", "--horizon", "50"), "declare 48 or 52", "horizon"),
        (("rerun", "greet", "--budget", "3"), "brings 4 samples a call", "budget"),
        (("certify", "--about", "population", "--set", "case", "--target", "0.9"), "takes one run of each", "several"),
        (("compare", "system.role=Be brief."), "pairs single runs", "several"),
    ],
)
def test_what_whole_calls_cannot_make_up_is_said_before_any_call(
    tmp_path: Path, capsys: Any, words: tuple[str, ...], said: str, slug: str
) -> None:
    with in_background(choices("yes", "no", "yes", "no")) as (server, url):
        project = write_project(tmp_path, url, FOUR)
        complaint = reroll(capsys, *words, "--yes", "--project", project, agree=False).complaint
    assert said in complaint
    assert complaint.endswith(f"[{slug}]")
    assert server.calls == 0


def test_a_suite_and_controls_are_drawn_in_whole_calls(tmp_path: Path, capsys: Any) -> None:
    checks = 'checks: [{name: says-yes, contains: "yes"}]'
    cases = "cases:\n" + "".join(
        f"  - {{id: {id}, input: {{request: {id}}}, set: {set}, {checks}}}\n"
        for id, set in (("greet", "case"), ("a", "control"), ("b", "control"))
    )
    with in_background(choices("yes", "no", "yes", "no")) as (server, url):
        project = write_project(tmp_path, url, "params: {n: 4}\n", cases)
        suite = ("certify", "--about", "suite", "--target", "0.6", "--budget", "30", "--project", project, "--json")
        found = reroll(capsys, *suite).json
        assert (found["rate"]["n"], server.calls) == (24, 6)
        answer = reroll(capsys, "investigate", "--case", "greet", "--budget", "40", "--project", project, "--json").json
    cost = answer["cost"]
    assert cost["samples"] == 4 * (cost["calls"] + cost["control_calls"]) <= 40
    assert cost["control_calls"] > 0


def test_replaying_one_of_several_stores_all_that_comes_back(tmp_path: Path, capsys: Any) -> None:
    with in_background(choices("yes", "no", "maybe", "never")) as (_, url):
        project = write_project(tmp_path, url, FOUR)
        reroll(capsys, "rerun", "greet", "--budget", "4", "--project", project)
        third = stored(project)[2]
        ran = reroll(capsys, "replay", third.id, "--project", project)
        assert ran.code == 0
        assert "maybe" in ran.out
        assert "Completion 3 of its call" in ran.out
    new = [s for s in stored(project) if s.source == "replay"]
    assert [said(s.sample)[0] for s in new] == ["yes", "no", "maybe", "never"]
