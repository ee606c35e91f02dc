"""The commands that look at tokens: which one led a sample astray, what could be said, how surprising it was."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from reroll.arguments import Common, Spending
from reroll.dud_report import DudPrice
from reroll.errors import UsageError
from reroll.foreseen import Foreseen, ask_futures
from reroll.forked import Forked, ask_forks
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.output import console, print_json
from reroll.session import Session

__all__ = ["forks", "futures"]

BROKE_OFF = 4


def forks(sample: str, common: Common, spending: Spending) -> int:
    project = project_of(common)
    with store_of(common, project, create=False) as store:
        stored = store.sample(sample)
        case = next((c for c in project.cases if c.id == stored.case_id), None)
        if case is None:
            raise UsageError(
                f"{stored.id} is of case `{stored.case_id}`, which cases.yaml does not have; add it there",
                slug="no-case",
            )
        seed = spending.seed if spending.seed is not None else stored.seq

        async def work(sessions: Sequence[Session]) -> Forked:
            return await ask_forks(sessions[0], case, stored, seed, _told)

        found = with_sessions([project], store, spending, (case,), (case,), work)
    if common.json:
        print_json(found.as_json())
    else:
        from reroll.render.forked import show_forked

        show_forked(found, console())
    return 0 if found.finished else BROKE_OFF


def _told(price: DudPrice) -> None:
    """What the search will take, before its first call."""
    print(
        f"a search takes about {counts('call', price.rollouts)} and {counts('generated token', price.tokens)}, at the "
        f"very most {counts('call', price.most_rollouts)}; Ctrl-C stops it, --budget limits it",
        file=sys.stderr,
    )


def futures(case: str, width: float, down_to: float, common: Common, spending: Spending) -> int:
    for name, value in (("--width", width), ("--down-to", down_to)):
        if not 0 < value <= 1:
            raise UsageError(f"{name} is a probability above 0 and at most 1, got {value:g}", slug="futures")
    project = project_of(common)
    with store_of(common, project) as store:
        chosen = project.case(case)
        if not chosen.checks:
            raise UsageError(f"case `{case}` has no checks, so nothing says what a right answer is", slug="no-check")

        async def work(sessions: Sequence[Session]) -> Foreseen:
            return await ask_futures(sessions[0], chosen, width, down_to)

        found = with_sessions([project], store, spending, (chosen,), (chosen,), work)
    if common.json:
        print_json(found.as_json())
    else:
        from reroll.render.foreseen import show_foreseen

        show_foreseen(found, console())
    return 0 if found.explored.finished else BROKE_OFF
