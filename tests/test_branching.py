"""Branches of a case's completions: stored, judged, and never mistaken for draws."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from reroll.branching import Branch, Branches, Wanted
from reroll.checking import Checker
from reroll.errors import ModelError
from reroll.init import init_project
from reroll.models.continuing import Continuer, open_continuer
from reroll.models.model import Capabilities
from reroll.models.registry import open_model
from reroll.project import load_project
from reroll.sample import Sample, Token
from reroll.session import Options, Session, judged, slots
from reroll.store import Store

T = TypeVar("T")
CAN = Capabilities(logprobs=20, prefix_continuation=True, token_prompt=True)


def with_branches(folder: Path, work: Callable[[Branches], Awaitable[T]], **options: int) -> T:
    if not (folder / "program.yaml").exists():
        init_project(folder)
    project = load_project(folder)

    async def inside(store: Store, checker: Checker) -> T:
        model = open_model("bundled")
        try:
            session = Session(project, store, model, checker, Options(**{"budget": 100, **options}))  # type: ignore[arg-type]
            case = project.case("next-friday")
            store.put_program(project.program)
            store.put_case(case)
            request = project.program.render(case.input, case.history)
            return await work(Branches(session, case, await open_continuer(model, request, CAN)))
        finally:
            await model.close()

    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        return asyncio.run(inside(store, checker))


def came(branches: list[Branch | None]) -> list[Branch]:
    assert all(branches)
    return [b for b in branches if b is not None]


def test_branches_are_judged_whole_and_found_again_by_the_next_command(tmp_path: Path) -> None:
    async def first(b: Branches) -> list[Branch]:
        (greedy,) = came(await b.draw([Wanted((), greedy=True)]))
        more = came(await b.draw([Wanted(greedy.tokens[:4]), Wanted(greedy.tokens[:4]), Wanted(greedy.tokens[:9])]))
        return [greedy, *more]

    drawn = with_branches(tmp_path, first)
    for branch in drawn[1:]:
        assert branch.tokens[: branch.prefix] == drawn[0].tokens[: branch.prefix]
        assert branch.outcome.outcome in ("pass", "fail")
        assert branch.generated == len(branch.tokens) - branch.prefix

    async def again(b: Branches) -> list[Branch]:
        return b.known()

    assert {(b.id, b.prefix, b.greedy, b.outcome.outcome) for b in with_branches(tmp_path, again)} == {
        (b.id, b.prefix, b.greedy, b.outcome.outcome) for b in drawn
    }


def test_branches_never_count_as_draws_of_the_case(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        await b.draw([Wanted((), greedy=True), Wanted(())])
        assert len(judged(b.session, slots(b.session, b.case))) == 0
        assert b.session.spent.calls == 2

    with_branches(tmp_path, work)


def test_each_branch_has_a_slot_of_its_own_under_the_request_that_was_sent(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        one, two = came(await b.draw([Wanted(()), Wanted(())]))
        stored = [b.session.store.sample(x.id) for x in (one, two)]
        assert [s.idx for s in stored] == [0, 1]
        assert {s.source for s in stored} == {"continued"}
        sent = b.session.store.get_request(stored[0].request_id).request
        assert sent.body["prompt"]
        assert sent.body["temperature"] == 1

    with_branches(tmp_path, work)


def test_a_budget_leaves_branches_undrawn(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        found = await b.draw([Wanted(())] * 5)
        assert len([f for f in found if f is not None]) == 3
        assert await b.draw([Wanted(())]) in ([], [None])

    with_branches(tmp_path, work, budget=3)


def test_seeds_make_branches_repeatable(tmp_path: Path) -> None:
    async def work(b: Branches) -> list[str]:
        return [x.sample.completion.text for x in came(await b.draw([Wanted(())] * 4)) if x.sample.completion]

    first = with_branches(tmp_path / "a", work, seed=7)
    assert with_branches(tmp_path / "b", work, seed=7) == first


def test_branches_of_one_purpose_are_not_those_of_another(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        own = Branches(b.session, b.case, b.continuer, "phrase ")
        assert own.drawn(Wanted(())) == []
        (mine,) = came(await own.draw([Wanted(())]))
        (other,) = came(await b.draw([Wanted(())]))
        assert [x.id for x in own.drawn(Wanted(()))] == [mine.id]
        assert [x.id for x in b.drawn(Wanted(()))] == [other.id]
        assert [x.id for x in Branches(b.session, b.case, b.continuer).known()] == [other.id]
        assert own.drawn(Wanted((), greedy=True)) == []

    with_branches(tmp_path, work)


def test_a_place_can_be_scored_alone_and_is_asked_for_once(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        (greedy,) = came(await b.draw([Wanted((), greedy=True)]))
        tokens = [replace(t, logprob=None, top=(), top_ids=()) for t in greedy.tokens[:5]]
        before = b.session.spent.calls
        scored = await b.score(tokens, first=4)
        assert b.session.spent.calls == before + 1
        assert [t.logprob for t in scored[:4]] == [None] * 4
        assert scored[4].logprob == pytest.approx(greedy.tokens[4].logprob, abs=1e-3)
        assert await b.score(tokens, first=4) == scored
        assert b.session.spent.calls == before + 1
        assert b.scored(tokens) is None, "the whole was not scored"

    with_branches(tmp_path, work)


def test_a_text_that_begins_as_one_that_was_scored_is_asked_for_from_where_they_part(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        (greedy,) = came(await b.draw([Wanted((), greedy=True)]))
        bare = [replace(t, logprob=None, top=(), top_ids=()) for t in greedy.tokens[:6]]
        whole = await b.score(bare)

        async def calls(tokens: list[Token]) -> tuple[int, tuple[Token, ...]]:
            before = b.session.spent.calls
            scored = await b.score(tokens)
            assert [(t.id, t.text) for t in scored] == [(t.id, t.text) for t in tokens]
            return b.session.spent.calls - before, scored

        assert await calls(bare[:4]) == (0, whole[:4])
        # Another token that was listed there is told without a call; what comes after it is not.
        second = next(k for k, i in enumerate(whole[3].top_ids) if i != bare[3].id)
        other = Token(whole[3].top[second][0], id=whole[3].top_ids[second])
        count, scored = await calls([*bare[:3], other])
        assert (count, scored[3].logprob) == (0, whole[3].top[second][1])
        count, scored = await calls([*bare[:3], other, *bare[4:]])
        assert (count, scored[:3]) == (2, whole[:3])
        fresh = await b.continuer.score([*bare[:3], other, *bare[4:]])
        for told, asked in zip(scored, fresh, strict=True):
            assert told.logprob == pytest.approx(asked.logprob, abs=0.1), (
                "rare tokens move by as much from call to call"
            )
        unlisted = next(i for i in range(300, 400) if i not in whole[2].top_ids)
        count, scored = await calls([*bare[:2], Token("x", id=unlisted), *bare[3:]])
        assert (count, scored[2].logprob) == (4, None)
        count, scored = await calls([Token("x", id=unlisted), *bare[1:]])
        assert (count, scored[0].logprob) == (6, None)

    with_branches(tmp_path, work)


def test_a_longer_list_than_was_asked_for_tells_nothing_of_another_token(tmp_path: Path) -> None:
    """The token that was asked about was put behind it, and others may be likelier than that one."""

    async def work(b: Branches) -> None:
        (greedy,) = came(await b.draw([Wanted((), greedy=True)]))
        bare = [replace(t, logprob=None, top=(), top_ids=()) for t in greedy.tokens[:3]]
        whole = await b.score(bare)
        other = Token(whole[2].top[1][0], id=whole[2].top_ids[1])
        b.continuer.top = 5
        before = b.session.spent.calls
        await b.score([*bare[:2], other])
        assert b.session.spent.calls == before + 1

    with_branches(tmp_path, work)


def test_runs_of_the_same_request_tell_the_beginning_that_a_text_shares_with_them(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        (run,) = came(await b.draw([Wanted(())]))
        bare = [replace(t, logprob=None, top=(), top_ids=()) for t in run.tokens[:6]]
        before = b.session.spent.calls
        assert await b.score(bare, runs=[run.tokens[:2], run.tokens]) == run.tokens[:6]
        assert b.session.spent.calls == before

    with_branches(tmp_path, work)


def test_what_a_run_does_not_tell_of_its_tokens_is_asked_for(tmp_path: Path) -> None:
    async def work(b: Branches) -> None:
        (run,) = came(await b.draw([Wanted(())]))
        bare = [replace(t, logprob=None, top=(), top_ids=()) for t in run.tokens[:5]]
        hollow = [*run.tokens[:2], bare[2], *run.tokens[3:]]
        other = Token(run.tokens[4].top[-1][0], id=run.tokens[4].top_ids[-1])
        before = b.session.spent.calls
        scored = await b.score([*bare[:4], other], runs=[hollow])
        assert scored[:2] == run.tokens[:2]
        assert all(t.top for t in scored)
        assert b.session.spent.calls == before + 3, (
            "also the token that differs: a run's list may be that of another place"
        )

    with_branches(tmp_path, work)


def test_draws_of_one_sample_s_search_are_found_again_in_their_order_and_no_others(tmp_path: Path) -> None:
    async def first(b: Branches) -> list[str]:
        await b.draw([Wanted(())])
        assert b.search_again("s_one") == []
        return [x.id for x in came(await b.draw([Wanted(()), Wanted(()), Wanted(())]))]

    drawn = with_branches(tmp_path, first)

    async def again(b: Branches) -> None:
        assert sorted(x.id for x in b.search_again("s_one")) == sorted(drawn)
        two = came(await b.draw([Wanted(()), Wanted(())]))
        assert [x.id for x in two] == drawn[:2]
        assert all(x.tokens for x in two)
        last, new = came(await b.draw([Wanted(()), Wanted(())]))
        assert last.id == drawn[2]
        assert new.id not in {x.id for x in b.known()[:4]}
        assert (b.calls, b.session.spent.calls, b.session.spent.reused) == (1, 1, 3)

    with_branches(tmp_path, again)

    async def other(b: Branches) -> None:
        assert b.search_again("s_other") == []
        (mine,) = came(await b.draw([Wanted(())]))
        assert mine.id not in drawn

    with_branches(tmp_path, other)


def test_a_search_does_not_count_draws_that_were_there_before_its_check_was_written(tmp_path: Path) -> None:
    async def work(b: Branches) -> int:
        found = len(b.search_again("s_one"))
        await b.draw([Wanted(())])
        return found + b.session.spent.reused

    assert [with_branches(tmp_path, work) for _ in range(2)] == [0, 2]
    cases = tmp_path / "cases.yaml"
    cases.write_text(cases.read_text().replace("2026-11-27", "2026-11-26"))
    assert with_branches(tmp_path, work) == 0


def test_what_a_server_that_is_down_does_not_answer_is_no_draw_that_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(b: Branches) -> list[str]:
        b.search_again("s_one")
        return [x.id for x in came(await b.draw([Wanted(())] * 3))]

    answered = with_branches(tmp_path, begin)

    async def down(b: Branches) -> None:
        b.search_again("s_one")
        with pytest.raises(ModelError, match="does not answer"):
            await b.draw([Wanted(())] * 5)

    async def no_answer(*_: object, **__: object) -> Sample:
        return Sample(error="http 503", calls=1)

    with monkeypatch.context() as gone:
        gone.setattr("reroll.models.continuing.Continuer.go_on", no_answer)
        for _ in range(3):
            with_branches(tmp_path, down)

    async def again(b: Branches) -> None:
        assert {x.id for x in b.search_again("s_one")} == set(answered)
        drawn = came(await b.draw([Wanted(())] * 5))
        assert [x.id for x in drawn[:3]] == answered
        assert all(x.sample.completion is not None for x in drawn)

    with_branches(tmp_path, again)


def test_a_single_call_that_brings_nothing_back_stays_in_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Continuer.go_on, 0

    async def every_other(self: Continuer, *of: Any, **more: Any) -> Sample:
        nonlocal calls
        calls += 1
        return Sample(error="timeout", calls=1) if calls % 2 else await real(self, *of, **more)

    async def draw(b: Branches) -> list[tuple[str, str]]:
        b.search_again("s_one")
        return [(x.id, x.outcome.outcome) for x in came(await b.draw([Wanted(())] * 4))]

    with monkeypatch.context() as shaky:
        shaky.setattr("reroll.models.continuing.Continuer.go_on", every_other)
        first = with_branches(tmp_path, draw)
    assert [word for _, word in first].count("invalid") == 2
    assert with_branches(tmp_path, draw) == first


def test_two_tokens_that_look_alike_never_share_a_stored_draw(tmp_path: Path) -> None:
    """Where beginnings go as text both are the same call."""

    async def draw(b: Branches) -> list[str]:
        texts = await open_continuer(b.session.model, b.continuer.request, replace(CAN, token_prompt=False))
        b = Branches(b.session, b.case, texts)
        b.search_again("s_one")
        alike = [Wanted((Token("{", id=5),)), Wanted((Token("{", id=6),))]
        return [x.id for x in came(await b.draw([*alike, *alike]))]

    first = with_branches(tmp_path, draw)
    again = with_branches(tmp_path, draw)
    assert len(set(first)) == len(set(again)) == 4
