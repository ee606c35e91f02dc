"""Where a failing run went wrong, as a section of an answer: searched for, or offered with its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reroll.answer import DudSection, NotExamined, OtherToken, Price
from reroll.astray import shown
from reroll.branching import was_searched
from reroll.case import Case
from reroll.conclude import commonest_failure
from reroll.dud_report import price
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.forked import WITHOUT, Forked, ask_forks
from reroll.forking import Failing
from reroll.models.local import LocalModel
from reroll.numbers import counts
from reroll.runs import Runs
from reroll.session import Session, too_dear
from reroll.store import StoredSample

__all__ = ["failed_as_most", "where_it_went_wrong"]

NOTHING = Price(None, None)


def failed_as_most(session: Session, case: Case) -> StoredSample:
    """The first of this case's runs that failed as most did. Raises: UsageError where none did."""
    runs = session.like(fresh=False).runs(case)
    which = commonest_failure(runs.said, runs.words())
    if which is None:
        why = "none of its runs failed" if len(runs) else "no run of it is stored"
        raise UsageError(f"`{case.id}`: {why}; `reroll rerun {case.id}` makes some", slug="no-failure")
    return runs[which].stored


async def where_it_went_wrong(
    session: Session,
    case: Case,
    runs: Runs,
    wanted: bool | None,
    told: Callable[[str], None],
    most: int | None = None,
    *,
    begun: bool = False,
) -> DudSection | NotExamined:
    """The token at which a run went wrong that failed as most did, or why nobody looked, and what it would take.

    Args:   wanted: None: where calls cost nothing, since the model runs here; told: is given the price beforehand;
            most: calls of the budget that it may take; None: all that are left; begun: this command searched already:
            nothing is told again. A search that was begun goes on with fewer calls than a whole one takes.
    """
    which = commonest_failure(runs.said, runs.words())
    if which is None:
        return NotExamined("no run failed", NOTHING)
    failing = runs[which].stored
    offer = NotExamined(
        f"`reroll forks {failing.id}` finds the token at which that run went wrong", _price(session, failing)
    )
    if wanted is None:
        wanted = isinstance(session.model, LocalModel)
    if not wanted or session.stopped or too_dear(session) or session.spent.out_of_time():
        return offer
    if most is not None:
        budget = min(session.options.budget, session.spent.samples + most)
        session = session.like(options=replace(session.options, budget=budget))
    dear = offer.price.calls is not None and session.left < offer.price.calls
    if dear and not begun and not was_searched(session, case, failing.id):
        left = counts("call", max(0, session.left))
        return NotExamined(f"{offer.not_examined}; {left} were left of the budget", offer.price)
    try:
        tell_price = (lambda words: None) if begun else told
        found = await ask_forks(session, case, failing, failing.seq, tell_price, by="tokens")
    except (ModelError, NotCompleted, UsageError) as problem:
        why = str(problem).removesuffix(WITHOUT)
        other = f"; `reroll forks {failing.id}` uses the best remaining method" if why != str(problem) else ""
        return NotExamined(f"{why}{other}", NOTHING)
    return _section(found, session.options.alpha) if isinstance(found, Forked) else offer


def _price(session: Session, failing: StoredSample) -> Price:
    """About what the search takes, by how long the answer is: nothing else of it is known before it is scored."""
    completion = failing.sample.completion
    length = failing.sample.usage.completion_tokens or (len(completion.tokens) if completion else 0)
    if not length:
        return NOTHING
    names = tuple(map(str, range(length)))
    return session.spent.price(price(Failing(names, (1.0,) * length, ((),) * length)).rollouts + length)


def _section(found: Forked, alpha: float) -> DudSection:
    dud = found.dud
    return DudSection(
        verdict=dud.verdict,
        sample=found.sample,
        tier=found.tier,
        unit=dud.unit,
        token=None if dud.token is None else shown(dud.token),
        position=dud.position,
        kind=dud.kind,
        prob=dud.prob,
        success_before=dud.success_before,
        success_after=dud.success_after,
        drop=dud.drop,
        share_of_failures=dud.share_of_failures,
        alternatives=tuple(OtherToken(shown(a.token), a.prob, a.success) for a in dud.alternatives),
        method=found.method,
        calls=dud.rollouts,
        tokens=dud.tokens_spent,
        text=found.text,
        caveats=found.caveats,
        alpha=alpha,
    )
