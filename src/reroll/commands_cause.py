"""The command that looks for the cause of a case's failures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from reroll.arguments import Common, Pictures, Spending
from reroll.caused import Caused
from reroll.causing import find_cause, other_models
from reroll.doubting import MOST_ANEW
from reroll.errors import UsageError
from reroll.hunt import AskedCause
from reroll.measuring import with_sessions
from reroll.opening import project_of, store_of
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.session import Session

__all__ = ["cause"]

BROKE_OFF = 4
GATES = {"systematic": 1, "checker": 1, "expectation": 1, "bad_luck": 0, "not_reproduced": 0, "undecided": 3}


def cause(case: str, suspects: Sequence[str], common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.caused import show_caused

    if spending.horizon is not None:
        raise UsageError("what `cause` says holds however often one looks; leave --horizon out", slug="horizon")
    can_be_drawn(pictures)
    project = project_of(common)
    chosen = project.case(case)
    if not chosen.checks:
        raise UsageError(f"case `{case}` has no checks, so nothing says what a failure is", slug="no-check")
    programs = [project.program, *other_models(project.program)]
    others = [c for c in project.cases if c.checks and (c.set == "control" or (c.set == "lookalike" and c.of == case))]
    # A person at the terminal is asked about answers: no live line may run over the question.
    asking = spending.person is None and sys.stdin.isatty() and sys.stderr.isatty()
    spending = replace(spending, quiet=True) if asking else spending
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Caused:
            return await find_cause(sessions, chosen, AskedCause(tuple(suspects)))

        projects = [replace(project, program=program) for program in programs]
        besides = f", and as many of the judge and {MOST_ANEW} more" if chosen.asks_a_model else ""
        say(f"looking for a cause takes some 100 to 300 calls{besides}; Ctrl-C stops it, --budget limits it")
        names = ["baseline", *(f"model={p.model}" for p in programs[1:])]
        found = with_sessions(
            projects, store, spending, (chosen, *others), (chosen,), work, names=names, anew=MOST_ANEW
        )
    present(f"reroll cause {case}", found.as_json, lambda page: show_caused(found, page), common, pictures)
    if not found.finished:
        return BROKE_OFF
    return GATES[found.section.verdict] if spending.gate else 0
