"""The command that says where the variation of a case's outcome comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reroll.arguments import Common, Pictures, Spending
from reroll.arms import ARMS, BURST, Asked
from reroll.asking import judging_at_most, judging_words
from reroll.audited import Audited, AuditPrice, audit_case
from reroll.auditing import judged_anew_at_most
from reroll.case import Case
from reroll.errors import UsageError
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.sample import Usage
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
    anew = judged_anew_at_most(spending.budget or 0, asked.burst or BURST) if "J" in asked.arms else 0
    with store_of(common, project) as store:

        async def work(sessions: Sequence[Session]) -> Audited:
            return await audit_case(
                sessions[0], chosen, replace(asked, seed=spending.seed), lambda price: _told(price, chosen, anew)
            )

        found = with_sessions((project,), store, spending, (chosen,), (chosen,), work, anew=anew, own_runs=True)
    present(f"reroll audit {case}", found.as_json, lambda page: show_audited(found, page), common, pictures)
    if not found.finished:
        return BROKE_OFF
    return GATES.get(found.verdict, 1) if spending.gate else 0


def _told(price: AuditPrice, case: Case, anew: int) -> None:
    """What it will take, before the first run."""
    judged, _ = judging_at_most((case,), price.most, Usage(0, 0), anew)
    besides = f", and {judging_words(judged, price.most, 0, anew)}" if judged else ""
    say(
        f"a first look takes {counts('call', price.least)}, what is left open then decides about more; at the very "
        f"most {counts('call', price.most)} in all{besides}; Ctrl-C stops it, --budget limits it"
    )
