"""Draws are judged while others are out: stored first, no other outcome than after, and nobody waits for a check."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reroll import at_hand, check
from reroll.at_hand import AtHand, Place
from reroll.case import Case
from reroll.check import Check, Outcome, overall
from reroll.checking import Checker
from reroll.errors import StoreError
from reroll.outcomes import Outcomes
from reroll.plan import Plan
from reroll.program import Program
from reroll.project import Project
from reroll.rolling import roll_case
from reroll.runner import draw_more, run_case
from reroll.runs import Runs
from reroll.sample import Attempt, Completion, Sample
from reroll.session import Options, Session, judged, slots
from reroll.store import NewSample, Store
from tests.test_rolling import CASE, Slow, script

ALL_KINDS = (
    Check(kind="contains", value="yes"),
    Check.of("not", Check.of("matches", "n.")),
    Check(kind="schema", value=True),  # no response is declared, so it cannot run
)


class Odd(Slow):
    """As slow, with an attempt and a body to every sample, as wires have."""

    async def draw(self, draw: Any) -> Sample:
        said = await super().draw(draw)
        tries = (Attempt(time.time(), 0.25, 200 if said.completion else 500, said.error, 0.0, f"req-{draw.index}"),)
        return Sample(said.completion, said.error, tries, raw="{}" if draw.index % 2 else None)


@contextmanager
def command(folder: Path, model: Slow, case: Case = CASE, url: str = "", **options: Any) -> Iterator[Session]:
    """The session of one command on the store of this folder, or on that of a server."""
    project = Project(folder, Program(program="greeting", model="slow"), (case,), (), ())
    with Store.open(url or folder / "store.sqlite") as store, Checker(folder) as checker:
        store.put_program(project.program)
        yield Session(project, store, model, checker, Options(**options))


def recount(session: Session) -> list[Outcome]:
    """What the checks say of everything that is stored, in the order drawn, judged anew."""
    case = session.project.cases[0]
    stored = sorted(session.store.samples(case_id=case.id, source="draw"), key=lambda one: one.idx)
    return [overall(session.checker.judge(case, session.project.program, one.sample)) for one in stored]


def in_store(session: Session) -> dict[int, dict[str, Outcome]]:
    """The stored outcomes by the index of their sample."""
    stored = session.store.samples(case_id=session.project.cases[0].id)
    said = session.store.outcomes([one.id for one in stored])
    return {one.idx: said.get(one.id, {}) for one in stored}


async def drawn(session: Session, count: int) -> Runs:
    """So many draws, judged: in one batch, after the checks were known."""
    at = slots(session, session.project.cases[0])
    runs = judged(session, at)
    await draw_more(session, [at], count)
    return judged(session, at, runs)


def after(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing is judged beside: all is read from the store and judged when it is asked for."""
    monkeypatch.setattr(AtHand, "add", lambda self, new: None)


def test_what_is_judged_was_stored_before_and_is_what_reading_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looked = Place.judge_one, 0

    def judge_one(place: Place) -> None:
        nonlocal looked
        looked += 1
        with Store.open(tmp_path / "store.sqlite") as others:  # a connection of its own sees what is committed
            assert others.of_seqs([place.waiting[0].seq]) == [place.waiting[0]]
        real(place)

    monkeypatch.setattr(Place, "judge_one", judge_one)
    with command(tmp_path, Odd(script(1, 0.2, lost=0.05), 20), concurrency=20) as session:
        asyncio.run(drawn(session, 30))
    assert looked == 30


@pytest.mark.parametrize("checks", [CASE.checks, ALL_KINDS])
@pytest.mark.parametrize(("width", "seed"), [(3, 1), (30, 3)])
def test_batches_end_with_the_same_verdict_calls_and_outcomes_as_when_all_is_judged_after(
    width: int, seed: int, checks: tuple[Check, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, found = CASE.model_copy(update={"checks": checks}), []

    async def plan_for(outcomes: Outcomes) -> Plan:
        return Plan("certify", target=0.8, concurrency=width)

    for name in ("beside", "after"):
        model = Odd(script(seed, 0.05, lost=0.04), width)
        with command(tmp_path / name, model, case, budget=40) as session:
            if name == "after":
                after(monkeypatch)
            runs = asyncio.run(run_case(session, case, plan_for)) if checks == CASE.checks else None
            runs = asyncio.run(drawn(session, 40)) if runs is None else runs
            assert list(runs.words()) == [one.outcome for one in recount(session)]
            assert [one.outcome for one in runs] == recount(session)
            found.append((list(runs.words()), model.started, in_store(session)))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_that_overlap_come_to_the_outcomes_of_a_recount(seed: int, tmp_path: Path) -> None:
    async def plan_for(outcomes: Outcomes) -> Plan:
        return Plan("certify", target=0.9, concurrency=25)

    with command(tmp_path, Odd(script(seed, 0.06, lost=0.04), 25), budget=100) as session:
        runs = asyncio.run(roll_case(session, CASE, plan_for))
        assert [one.outcome for one in runs] == recount(session)
        assert all(len(said) == 1 for said in in_store(session).values())


def what_two_commands_drew_counts_in_its_place(folder: Path, url: str = "") -> None:
    """Two commands draw at once from one series; the one that asks has both, as a recount has them."""
    ours, theirs = Odd(script(4, 0.3), 10), Odd(script(5, 0.3), 10)
    with command(folder, ours, url=url) as session, command(folder, theirs, url=url) as other:

        async def both() -> Runs:
            at = slots(session, CASE)
            runs = judged(session, at)
            await asyncio.gather(draw_more(session, [at], 30), draw_more(other, [at], 30))
            return judged(session, at, runs)

        runs = asyncio.run(both())
        assert runs.indices == list(range(60))
        assert [one.outcome for one in runs] == recount(session)


def test_what_somebody_else_drew_meanwhile_is_read_and_counts_in_its_place(tmp_path: Path) -> None:
    what_two_commands_drew_counts_in_its_place(tmp_path)


def test_more_than_is_held_is_read_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_hand, "MOST", 20_000)
    with command(tmp_path, Odd(script(6, 0.3), 10)) as session:
        runs = asyncio.run(drawn(session, 60))
        assert [one.outcome for one in runs] == recount(session)
        assert session.at_hand._held == 0


def test_a_slow_check_takes_a_quarter_of_the_time_while_calls_are_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, spent, longest = Place.judge_one, 0.0, 0.0

    def judge_one(place: Place) -> None:
        nonlocal spent, longest
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.001:
            pass
        real(place)
        took = time.perf_counter() - begun
        spent, longest = spent + took, max(longest, took)

    async def timed(session: Session) -> tuple[float, float, Runs]:
        at = slots(session, CASE)
        runs = judged(session, at)
        begun = time.perf_counter()
        await draw_more(session, [at], 150)
        return time.perf_counter() - begun, spent, judged(session, at, runs)

    monkeypatch.setattr(at_hand, "TURN", 0.0005)
    monkeypatch.setattr(Place, "judge_one", judge_one)
    with command(tmp_path, Slow(lambda i: ("yes", 30), 20), concurrency=20) as session:
        took, judging, runs = asyncio.run(timed(session))
    assert 0 < judging <= took / 4 + longest
    assert len(runs) == 150


def test_a_check_that_crashes_on_some_is_told_and_asked_again_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = script(7, 0.3)
    sound = check._JUDGES["contains"]

    def crashing(value: str, completion: Completion, around: Any) -> Outcome:
        if completion.text == "no":
            raise KeyError("no")
        return sound(value, completion, around)

    with monkeypatch.context() as patched, command(tmp_path, Odd(said, 10)) as session:
        patched.setitem(check._JUDGES, "contains", crashing)
        runs = asyncio.run(drawn(session, 40))
        failing = {i for i in range(40) if said(i)[0] == "no"}
        assert failing
        assert {i for i, word in enumerate(runs.words()) if word == "invalid"} == failing
        assert runs.broken == len(failing)
        assert {i for i, one in in_store(session).items() if not one} == failing
    with command(tmp_path, Odd(said, 10)) as session:
        runs = judged(session, slots(session, CASE))
        assert {i for i, word in enumerate(runs.words()) if word == "fail"} == failing


@pytest.mark.parametrize("lasts", [False, True])
def test_outcomes_that_cannot_be_stored_are_judged_again_or_end_the_run_and_no_sample_is_lost(
    lasts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = Store.add_all_outcomes, 0

    def full(store: Store, fresh: dict[str, Any]) -> None:
        nonlocal tries
        tries += 1
        if lasts or tries == 1:
            raise StoreError("the disk is full")
        real(store, fresh)

    monkeypatch.setattr(at_hand, "TOGETHER", 5)
    with command(tmp_path, Odd(script(8, 0.2), 10)) as session:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add_all_outcomes", lambda store, fresh: full(store, fresh) if fresh else None)
            if lasts:
                with pytest.raises(StoreError, match="disk is full"):
                    asyncio.run(drawn(session, 40))
            else:
                with contextlib.suppress(StoreError):  # on a busy machine all are stored at the end, for the first time
                    asyncio.run(drawn(session, 40))
                assert tries >= 1
        assert len(in_store(session)) == 40
        runs = judged(session, slots(session, CASE))
        assert [one.outcome for one in runs] == recount(session)
        assert all(in_store(session).values())


def test_a_command_that_ends_before_all_is_judged_leaves_that_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_hand, "TOGETHER", 4)
    with command(tmp_path, Odd(script(9, 0.2), 10)) as session:
        at = slots(session, CASE)
        judged(session, at)
        asyncio.run(draw_more(session, [at], 50))  # and then, as after a kill, nobody asks
        assert not all(in_store(session).values())
    with command(tmp_path, Odd(script(9, 0.2), 10)) as session:
        runs = judged(session, slots(session, CASE))
        assert session.spent.calls == 0
        assert [one.outcome for one in runs] == recount(session)
        assert all(in_store(session).values())


@pytest.mark.parametrize("kind", ["python", "person"])
def test_checks_that_others_answer_wait_until_nothing_is_in_flight(kind: str) -> None:
    slow = Check(kind=kind, value="a:b")  # type: ignore[arg-type]
    for checks in ((slow,), (*CASE.checks, Check.of("any", [CASE.checks[0], Check.of("not", slow)]))):
        assert not at_hand.judges_at_once(CASE.model_copy(update={"checks": checks}))
    assert at_hand.judges_at_once(CASE)


def test_what_an_outage_left_behind_does_not_count_though_it_was_judged(tmp_path: Path) -> None:
    with command(tmp_path, Odd(script(2, 0.3), 10)) as session:
        at = slots(session, CASE)
        runs = judged(session, at)
        asyncio.run(draw_more(session, [at], 20))
        session.store.mark_outage([one.id for one in session.store.samples() if one.idx >= 15])
        runs = judged(session, at, runs)
        assert runs.indices == list(range(15))
        assert [one.outcome for one in runs] == recount(session)


def test_draws_that_are_older_than_their_checks_do_not_count_though_they_were_just_made(tmp_path: Path) -> None:
    with command(tmp_path, Odd(script(1, 0.0), 10)) as session:
        at = slots(session, CASE)
        asyncio.run(draw_more(session, [at], 10))
        assert len(judged(session, at)) == 0


def test_a_slot_that_was_taken_is_nothing_at_hand(tmp_path: Path) -> None:
    with command(tmp_path, Odd(script(1, 0.0), 10)) as session:
        at = slots(session, CASE)
        place = {"request_id": at.request_id, "series": at.series, "program_id": "p", "case_id": "greet"}
        new = [NewSample(Sample(Completion(random.choice(["a", "b"]))), idx=i, **place) for i in (0, 1)]  # type: ignore[arg-type]
        first = session.store.add_known(new)
        again = session.store.add_known(new)
        assert [one.idx for _, one in first if one is not None] == [0, 1]
        assert again == [(id, None) for id, _ in first]
