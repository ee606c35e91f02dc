"""What earlier fixes still earn with a new one in place: each is taken out in turn, on the case that it was for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reroll.applying import APPLIED
from reroll.case import Case
from reroll.evidence import Est
from reroll.fix import Fix
from reroll.ledger import TRIED, WORTH, fix_in
from reroll.lever_undo import without
from reroll.models.model import bare
from reroll.models.stepped import around
from reroll.paired import difference_interval
from reroll.program import Program
from reroll.reduction import Pairs
from reroll.scored import Worth
from reroll.session import Session
from reroll.trial import Trial

__all__ = ["Earlier", "earlier_fixes", "worths"]

STEP = 12  # pairs between two looks
FAR = 96  # pairs: what is open then stays open


@dataclass(frozen=True, slots=True)
class Earlier:
    """A fix that was applied before and is still in the program. program: the newly fixed program without it."""

    fix: Fix
    program: Program
    cases: tuple[Case, ...]


def earlier_fixes(session: Session, fixed: Program, case: Case) -> list[Earlier]:
    """The applied fixes that are still in this program, each with the cases that it was tried on; the newest first."""
    cases = session.project.cases
    tried_on = {
        str(tried.get("id")): one.case_id
        for one in session.store.decisions(rule=TRIED)
        if (tried := fix_in(one.evidence))
    }
    out: dict[str, Earlier] = {}
    for decision in reversed(session.store.decisions(rule=APPLIED)):
        said: Any = decision.evidence
        stated = {k: v for k, v in said["fix"].items() if k != "id" and v is not None}
        fix = Fix.model_validate(stated)
        back = without(said["undo"], fixed)
        # The same model is at hand; another one, or another address, would have to be opened first.
        if fix.id in out or back is None or (back.model, back.base_url) != (fixed.model, fixed.base_url):
            continue
        home = next((c for c in cases if c.id == tried_on.get(fix.id)), case)
        family = tuple(c for c in cases if c.of == home.id and c.set == "neighbour" and c.checks)
        out[fix.id] = Earlier(fix, back, (home, *family))
    return list(out.values())


async def worths(
    all_in: Session, earlier: Sequence[Earlier], alpha: float, allowed: Callable[[int], bool]
) -> tuple[Worth, ...]:
    """How much more often each earlier fix's cases fail without it, all else in place; alpha is shared by them.

    Args:    all_in: the session of the program with the new fix; allowed: whether so many more calls may be made.
    """
    found = []
    for one in earlier:
        project = replace(all_in.project, program=one.program)
        model = around(bare(all_in.model), one.program, all_in.checker)
        all_in.store.put_program(one.program)
        session = all_in.like(project=project, model=model, variant=f"without {one.fix.fix}")
        trial = Trial(all_in, [(session.variant, one.fix, session)], {"case": one.cases}, "pile-up")
        worth = await _worth(trial, session.variant, alpha / len(earlier), allowed)
        high = worth.high
        found.append(Worth(one.fix.id, one.fix.fix, worth, worth.n > 0 and high is not None and high < WORTH))
    return tuple(found)


async def _worth(trial: Trial, name: str, alpha: float, allowed: Callable[[int], bool]) -> Est:
    """The rise of the failure rate without it, until it is surely above 0, surely small, or not worth more calls."""
    while True:
        pairs = trial.pairs(name, "case")
        worth = _rise(pairs, alpha)
        decided = pairs.n > 0 and ((worth.low or 0.0) > 0 or (worth.high if worth.high is not None else 1.0) < WORTH)
        units = {"case": pairs.n + STEP}
        if decided or pairs.n >= FAR or not allowed(trial.calls_for(units, [name])):
            return worth
        await trial.draw(units, [name])


def _rise(pairs: Pairs, alpha: float) -> Est:
    if not pairs.n:
        return Est(None, -1.0, 1.0, 0)
    low, _ = difference_interval(pairs.kind[2], pairs.kind[1], pairs.n, alpha)
    _, high = difference_interval(pairs.harsh[2], pairs.harsh[1], pairs.n, alpha)
    before, after = pairs.before, pairs.after
    return Est(None if before is None or after is None else after - before, low, high, pairs.n)
