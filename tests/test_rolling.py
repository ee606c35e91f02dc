"""Calls overlap: the plan sees the order drawn, is never outrun, and nothing is lost when a run ends early."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from reroll import rolling
from reroll.answer import OutcomeWord
from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.errors import NotCompleted, RerollError, StoreError
from reroll.models.model import Capabilities, Draw
from reroll.plan import Plan, next_draws, stop_reason
from reroll.program import Program
from reroll.project import Project
from reroll.rolling import can_roll, roll_case
from reroll.runs import Runs
from reroll.sample import Completion, Sample
from reroll.session import Options, Session
from reroll.store import Store
from reroll.verdict import certify_path

CASE = Case(id="greet", input={"request": "Say yes"}, checks=(Check(kind="contains", value="yes"),))
Said = Callable[[int], tuple[str | None, int]]  # what draw i says (None: nothing comes back), after how many turns


class Slow:
    """A model whose draws take as many turns of the loop as a script says; notes what was out at every start."""

    name = identity = "slow"
    priced = True

    def __init__(self, said: Said, concurrency: int) -> None:
        self.said, self.concurrency = said, concurrency
        self.out: set[int] = set()
        self.started: list[int] = []
        self.starts: list[tuple[int, int]] = []  # draws started so far, and the first that has not come back
        self.most = 0

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        self.out.add(draw.index)
        self.started.append(draw.index)
        self.most = max(self.most, len(self.out))
        self.starts.append((len(self.started), min(self.out)))
        text, turns = self.said(draw.index)
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
        finally:
            self.out.discard(draw.index)
        return Sample(error="http 500") if text is None else Sample(Completion(text))


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """These draws take less time than looking does, which would else wait for all of them."""
    monkeypatch.setattr(rolling, "PATIENCE", 0)


def rolled(
    folder: Path, model: Slow, plan: Plan, options: Options | None = None, then: Callable[[Session], None] | None = None
) -> tuple[Runs, Session]:
    """The runs of one command, and its session."""
    project = Project(folder, Program(program="greeting", model="slow"), (CASE,), (), ())

    async def plan_for(outcomes: list[OutcomeWord]) -> Plan:
        if then is not None:
            then(session)
        return plan

    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        session = Session(project, store, model, checker, options or Options())
        store.put_program(project.program)
        assert can_roll(session, CASE)
        return asyncio.run(roll_case(session, CASE, plan_for)), session


def script(seed: int, fails: float, lost: float = 0.0) -> Said:
    """Failing draws are the slow ones."""

    def said(i: int) -> tuple[str | None, int]:
        chance = random.Random(f"{seed} {i}")
        if chance.random() < lost:
            return None, chance.randint(1, 300)
        failing = chance.random() < fails
        return ("no" if failing else "yes"), chance.randint(40, 400) if failing else chance.randint(1, 60)

    return said


def in_batches(plan: Plan, said: Said) -> list[OutcomeWord]:
    """What a runner draws that waits for each batch."""
    outcomes: list[OutcomeWord] = []
    while count := next_draws(plan, outcomes):
        for i in range(len(outcomes), len(outcomes) + count):
            outcomes.append({"yes": "pass", "no": "fail"}.get(said(i)[0] or "", "invalid"))  # type: ignore[arg-type]
    return outcomes


@pytest.mark.parametrize(("seed", "fails"), [(1, 0.0), (2, 0.02), (3, 0.1), (4, 0.1), (5, 0.3)])
def test_the_verdict_is_that_of_the_order_drawn_and_at_most_an_eighth_is_spent_after_it(
    seed: int, fails: float, tmp_path: Path
) -> None:
    said, most = script(seed, fails), 120
    plan, model = Plan("certify", target=0.9, concurrency=30), Slow(said, 30)
    runs, session = rolled(tmp_path, model, plan, Options(budget=most))
    outcomes = runs.words()
    assert [j.stored.idx for j in runs] == list(range(len(runs)))
    assert stop_reason(plan, outcomes) == "decided" or len(runs) == most
    decided = certify_path(outcomes, 0.9).decided_at or len(runs)
    assert len(runs) - decided <= max(2, decided // 8)
    alone = in_batches(Plan("certify", target=0.9, concurrency=30, budget=most), said)
    both = min(len(alone), len(outcomes))
    assert outcomes[:both] == alone[:both]
    assert model.most <= 30
    assert session.spent.calls == len(model.started) == len(runs)


def test_no_draw_starts_that_the_plan_would_not_allow_by_what_has_settled_in_order(tmp_path: Path) -> None:
    said = script(9, 0.02)
    plan, model = Plan("certify", target=0.9, concurrency=50), Slow(said, 50)
    outcomes = rolled(tmp_path, model, plan)[0].words()
    for started, first_out in model.starts:
        known = outcomes[:first_out]
        assert started <= len(known) + next_draws(Plan("certify", target=0.9, concurrency=10**6), known)


def test_the_slowest_draw_holds_up_what_comes_after_and_is_not_overtaken(tmp_path: Path) -> None:
    """A failing first draw that takes for ever must not lose against a hundred quick passes."""
    model = Slow(lambda i: ("no", 3000) if i == 0 else ("yes", 1), 20)
    rolled(tmp_path, model, Plan("certify", target=0.9, concurrency=20))
    before = [started for started, first_out in model.starts if first_out == 0]
    assert max(before) == next_draws(Plan("certify", target=0.9, concurrency=20), [])


def test_calls_overlap(tmp_path: Path) -> None:
    """In batches of eight a slow one would be waited for eight times as often."""
    model = Slow(lambda i: ("yes", 200 if i % 8 == 0 else 10), 8)
    rolled(tmp_path, model, Plan("certify", target=0.95, concurrency=8))
    late = [n for n, (_, first_out) in enumerate(model.starts) if first_out >= 40]
    assert any(model.starts[n][0] - model.starts[n][1] > 8 for n in late)


@pytest.mark.parametrize(("budget", "horizon"), [(37, None), (400, 61), (50, 200), (0, None)])
def test_budget_and_horizon_are_never_overdrawn(budget: int, horizon: int | None, tmp_path: Path) -> None:
    plan = Plan("certify", target=0.9, horizon=horizon, concurrency=16)
    model = Slow(script(3, 0.1, lost=0.02), 16)
    runs, session = rolled(tmp_path, model, plan, Options(budget=budget, horizon=horizon))
    assert len(model.started) == session.spent.calls == len(runs)
    assert len(runs) <= min(budget, horizon or budget)
    assert stop_reason(Plan("certify", target=0.9, horizon=horizon, budget=budget), runs.words())


def test_a_person_who_stops_it_gets_what_comes_back_and_nothing_new_starts(tmp_path: Path) -> None:
    started: list[int] = []

    def stop(session: Session) -> None:
        if len(model.started) >= 30 and not session.stopped:
            started.append(len(model.started))
            session.stopped = True
            for drawing in session.drawing:
                drawing.cancel()

    model = Slow(script(5, 0.02), 10)
    runs, session = rolled(tmp_path, model, Plan("certify", target=0.99, concurrency=10), then=stop)
    assert len(model.started) == started[0] == len(runs)
    assert (model.out, session.drawing) == (set(), set())


def test_a_server_that_stops_answering_ends_it_and_its_silence_is_marked(tmp_path: Path) -> None:
    model = Slow(lambda i: ("yes" if i < 40 else None, 5), 12)
    with pytest.raises(NotCompleted, match="stopped answering"):
        rolled(tmp_path, model, Plan("certify", target=0.99, concurrency=12))
    with Store.open(tmp_path / "store.sqlite") as store:
        draws = store.samples(case_id="greet", source="draw")
        silent = store.samples(case_id="greet", source="outage")
    assert len(draws) == 40
    assert len(silent) == len(model.started) - 40 >= 8
    assert not model.out


def test_what_cannot_be_stored_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = Store.reserve_all, 0

    def reserve(*wanted: object) -> list[range]:
        nonlocal count
        count += 1
        if count == 5:
            raise StoreError("the disk is full")
        return real(*wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "reserve_all", reserve)
    model = Slow(script(5, 0.02), 10)
    with pytest.raises(RerollError, match="disk is full"):
        rolled(tmp_path, model, Plan("certify", target=0.99, concurrency=10))
    assert not model.out


@pytest.mark.parametrize(
    ("check", "cap", "rolls"),
    [("contains", None, True), ("python", None, False), ("person", None, False), ("contains", 1.0, False)],
)
def test_it_waits_for_each_batch_where_judging_takes_long_or_money_is_capped(
    check: str, cap: float | None, rolls: bool, tmp_path: Path
) -> None:
    case = Case(id="greet", input={}, checks=(Check(kind=check, value="a:b"),))  # type: ignore[arg-type]
    project = Project(tmp_path, Program(program="greeting", model="slow"), (case,), (), ())
    model = Slow(script(1, 0.0), 2)
    with Store.open(tmp_path / "store.sqlite") as store, Checker(tmp_path) as checker:
        assert can_roll(Session(project, store, model, checker, Options(max_usd=cap)), case) is rolls
