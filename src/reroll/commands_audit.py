"""The command that says where the variation of a case's outcome comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reroll.arguments import Common, Pictures, Spending
from reroll.arms import ARMS, Asked
from reroll.audited import Audited, AuditPrice, audit_case
from reroll.errors import UsageError
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.session import Session
from reroll.settings import setting

__all__ = ["audit"]

BROKE_OFF = 4
BUDGET = 300
GATES = {"steady": 0, "sampling": 0, "undecided": 3}


def audit(case: str, asked: Asked, common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.render.audited import show_audited

    if spending.horizon is not None:
        raise UsageError("what `audit` says holds however often one looks; leave --horizon out", slug="horizon")
    if unknown := sorted(set(asked.arms) - set(ARMS)) or ("P" not in asked.arms and ["no P"]):
        raise UsageError(
            f"--arms is letters of {ARMS}, P (as reported) among them; got {asked.arms!r} ({', '.join(unknown)})",
            slug="audit",
        )
    if asked.burst is not None and asked.burst < 2:
        raise UsageError(f"--burst is a number of calls at the same time, 2 or more; got {asked.burst}", slug="audit")
    if spending.engine == "ray" or setting("engine", None) == "ray":
        raise UsageError("an audit decides itself when each call goes out; leave --engine ray out", slug="engine")
    can_be_drawn(pictures)
    project = project_of(common)
    chosen = project.case(case)
    # A cap of its own, lower than the usual one: what it takes on any ordinary case.
    spending = replace(
        spending, budget=min(BUDGET, setting("budget", None)) if spending.budget is None else spending.budget
    )
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Audited:
            return await audit_case(sessions[0], chosen, replace(asked, seed=spending.seed), _told)

        found = with_sessions((project,), store, spending, (chosen,), (chosen,), work)
    present(f"reroll audit {case}", found.as_json, lambda page: show_audited(found, page), common, pictures)
    if not found.finished:
        return BROKE_OFF
    return GATES.get(found.verdict, 1) if spending.gate else 0


def _told(price: AuditPrice) -> None:
    """What it will take, before the first run."""
    say(
        f"a first look takes {counts('call', price.least)}, what is left open then decides about more; at the very "
        f"most {counts('call', price.most)} in all; Ctrl-C stops it, --budget limits it"
    )
