"""A spending cap holds for all commands on one store, and is overshot by calls in flight at most."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reroll.case import Case
from reroll.checking import Checker
from reroll.models.model import Capabilities, Draw
from reroll.program import Program
from reroll.project import Project
from reroll.purse import Purse
from reroll.runner import draw_at
from reroll.sample import Completion, Sample, Usage
from reroll.session import Options, Session, Slots, Spent, too_dear
from reroll.store import NewSample, Store


class Dear:
    """A model whose every call costs the same, and comes back a few turns of the loop later."""

    name = identity = "dear"
    priced = True

    def __init__(self, usd: float | None, at_once: int) -> None:
        self.usd, self.concurrency = usd, at_once

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        for _ in range(3):
            await asyncio.sleep(0)
        return Sample(Completion("yes"), usage=Usage(usd=self.usd))


def drawn(
    folder: Path,
    usd: float | None,
    cap: float,
    at_once: int = 1,
    series: str = "a",
    begun: Callable[[], Any] = lambda: None,
) -> int:
    """How many of 200 calls a command makes, at this price and under this cap."""
    case = Case(id="greet", input={"request": "Say yes"})
    project = Project(folder, Program(program="greeting", model="dear"), (case,), (), ())
    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        spent = Spent(purse=Purse(store, cap))
        begun()
        session = Session(project, store, Dear(usd, at_once), checker, Options(max_usd=cap), spent=spent)
        while not too_dear(session):
            asyncio.run(draw_at(session, [(Slots(case, "r1:0", series, False, True), 200)]))
        return len(store.samples(series=series))


def spend(folder: Path, usd: float, series: str = "others") -> None:
    with Store.open(folder / "store.sqlite") as store:
        for idx in store.reserve("r1:0", series, 1):
            sample = Sample(Completion("x"), usage=Usage(usd=usd))
            store.add_samples([NewSample(sample, "r1:0", series, idx, "p1:0", "greet")])


def test_one_call_at_a_time_never_passes_the_cap(tmp_path: Path) -> None:
    assert drawn(tmp_path, usd=0.1, cap=1.0) == 10
    assert drawn(tmp_path, usd=0.3, cap=1.0, series="b") == 3


@pytest.mark.parametrize("at_once", [4, 30])
def test_calls_in_flight_are_counted_before_another_starts(tmp_path: Path, at_once: int) -> None:
    # Until the first call is back nobody knows a price, so the first round is made; after it there is room for all.
    assert drawn(tmp_path, usd=0.1, cap=1.0, at_once=at_once) == max(10, at_once)


def test_what_was_spent_before_the_command_began_is_not_its_own(tmp_path: Path) -> None:
    spend(tmp_path, 5.0)
    assert drawn(tmp_path, usd=0.1, cap=1.0) == 10


def test_what_another_process_spends_meanwhile_counts(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        purse = Purse(store, 1.0)
        assert not purse.shut()
        spend(tmp_path, 0.6)
        assert purse.spent() == pytest.approx(0.6)
        purse.add(0.3, unknown=False)
        assert purse.shut(in_flight=1)
        spend(tmp_path, 0.5)
        assert purse.shut()


def test_a_call_whose_price_is_not_known_ends_the_spending(tmp_path: Path) -> None:
    assert drawn(tmp_path, usd=None, cap=1.0) == 1


def test_four_processes_under_one_cap_spend_it_once(tmp_path: Path) -> None:
    Store.open(tmp_path / "store.sqlite").close()
    code = "import sys; from pathlib import Path; from tests.test_purse import drawn; "
    code += "wait = lambda: (print('begun', flush=True), input()); "
    code += "print(drawn(Path(sys.argv[1]), 0.01, 1.0, 5, sys.argv[2], wait))"
    root = Path(__file__).parent.parent
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": root}
    all_of_them = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"series-{n}"], **pipes) for n in range(4)
    ]
    for one in all_of_them:
        assert one.stdout is not None
        assert one.stdout.readline() == "begun\n"
    for one in all_of_them:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    calls = [int(one.communicate()[0]) for one in all_of_them]
    with Store.open(tmp_path / "store.sqlite") as store:
        usd = store.spend().usd
    assert usd == pytest.approx(sum(calls) * 0.01)
    assert usd is not None
    assert 0.9 <= usd <= 1.0 + 4 * 5 * 0.01
