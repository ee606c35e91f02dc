"""What `audit` answers: where the variation of one case's outcome comes from, in shares, words and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from reroll.answer import Cost, Rate, to_json
from reroll.arms import OTHERS, Arm, Arms, Asked, arms_of
from reroll.audit import (
    AuditVerdict,
    Claim,
    Drawn,
    Seed,
    Share,
    chance_alike,
    leans,
    seed_honoured,
    shares_of,
    smallest_seen,
    verdict_of,
)
from reroll.auditing import run_arms
from reroll.case import Case
from reroll.conclude import rate_of
from reroll.evidence import Est
from reroll.numbers import counts, in_ten, percent
from reroll.session import Session
from reroll.words import points

__all__ = ["ArmShown", "AuditPrice", "Audited", "Left", "Rejudged", "audit_case", "reply"]


@dataclass(frozen=True, slots=True)
class AuditPrice:
    """What it will take, said before the first call. least: until the first look; most: all calls at most."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class ArmShown:
    """One circumstance: how often it failed, how many different answers there were, and how it compares.

    against:    the arm that differs from it in this one thing, or `others`: all other servers.
    verdict:    `worse`, `better` or `undecided`, of this arm.
    difference: its failure rate minus the other's; ruled_out: a worsening by this much or more is excluded.
    smallest_visible: a rate below this could have stayed unseen in its n runs, with a chance of 5 % or more.
    """

    id: str
    words: str
    rate: Rate
    distinct: int
    n: int
    against: str | None
    verdict: str | None
    difference: Est | None
    ruled_out: float | None
    smallest_visible: float
    ended: str


@dataclass(frozen=True, slots=True)
class Rejudged:
    """The same outputs held against the same checks again: how many, how often each, how many were judged both ways."""

    outputs: int
    judgings: int
    flips: int


@dataclass(frozen=True, slots=True)
class Left:
    """An arm that was left out, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Audited:
    """The answer. `named`: every source that was shown, the verdict's first; `alike_at_zero`: how likely the answers at
    temperature 0 would all be equal if they came as those as reported; None where they were not or none were drawn."""

    verdict: AuditVerdict
    case: str
    program: dict[str, Any]
    model: str
    arms: tuple[ArmShown, ...]
    shares: tuple[Share, ...]
    named: tuple[str, ...]
    checker: Rejudged | None
    seed: Seed
    alike_at_zero: float | None
    left_out: tuple[Left, ...]
    smallest_visible: float
    burst: int
    alpha: float
    price: AuditPrice
    cost: Cost
    caveats: tuple[str, ...]
    finished: bool
    stopped: str

    @property
    def text(self) -> str:
        return reply(self)

    def arm(self, id: str) -> ArmShown | None:
        """The arm of this id; None where it was left out."""
        return next((arm for arm in self.arms if arm.id == id), None)

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.audit/1`."""
        return {"schema": "reroll.audit/1", **to_json(self), "text": self.text}


async def audit_case(
    session: Session, case: Case, asked: Asked, tell_price: Callable[[AuditPrice], None] = lambda price: None
) -> Audited:
    """Run the arms of one case and say where its variation comes from; what is stored already counts.

    Args:    tell_price: called with what it will take, before the first call.
    Raises:  UsageError, ModelError: one sentence each.
    """
    async with AsyncExitStack() as opened:
        session.store.put_program(session.project.program)
        session.store.put_case(case)
        arms = await arms_of(session, case, asked, opened)
        session.spent.reused += sum(len(arm) for arm in arms.arms.values())
        price = AuditPrice(min(session.left, arms.calls_at_least), session.left)
        tell_price(price)
        await run_arms(arms, np.random.default_rng(asked.seed), _the_check_alone)
        return _concluded(arms, price)


def _the_check_alone(arms: Arms) -> bool:
    """Whether re-judging explains so much already that more calls would only say it again."""
    flips, inside = arms.flips()
    shares = shares_of(arms.arms["P"].drawn, None, inside, ())
    return flips > 1 and any(s.source == "checker" and s.value >= 0.7 for s in shares)


def _concluded(arms: Arms, price: AuditPrice) -> Audited:
    session, drawn, alpha = arms.session, arms.drawn, arms.session.options.alpha
    found = {claim.arm: claim for claim in arms.claims()}
    shown = [claim for claim in found.values() if claim.shown]
    flips, inside = arms.flips()
    production, zero = drawn["P"], drawn.get("Z")
    if zero is None and arms.left_out.get("Z") == "it already runs at temperature 0":
        zero = production
    shares = shares_of(production, zero, inside, shown, alpha)
    verdict = verdict_of(production, zero, flips, shares, shown)
    if verdict in ("sampling", "steady") and any(_leans(claim) for claim in found.values()):
        verdict = "undecided"  # chance is what is left over, and something may be left to find
    program = session.project.program
    alike = chance_alike(production, drawn["Z"]) if "Z" in drawn and drawn["Z"].distinct == 1 else None
    judgings = list(arms.judgings.values())
    return Audited(
        verdict=verdict,
        case=arms.case.id,
        program={"name": program.program, "id": program.id},
        model=session.model.identity,
        arms=tuple(_shown(arm, drawn[arm.id], found.get(arm.id), alpha) for arm in arms.arms.values()),
        shares=shares,
        named=_named(verdict, shown, flips),
        checker=Rejudged(len(judgings), len(judgings[0]), flips) if judgings else None,
        seed=seed_honoured(production, drawn["S"], alpha) if "S" in drawn else "not_known",
        alike_at_zero=alike,
        left_out=tuple(Left(id, why) for id, why in arms.left_out.items()),
        smallest_visible=smallest_seen(production.evidence.n - production.evidence.invalid),
        burst=arms.burst,
        alpha=alpha,
        price=price,
        cost=session.spent.cost(),
        caveats=tuple(_caveats(arms, drawn, shown)),
        finished=arms.finished,
        stopped=arms.stopped,
    )


def _shown(arm: Arm, drawn: Drawn, claim: Claim | None, alpha: float) -> ArmShown:
    seen = drawn.evidence
    return ArmShown(
        id=arm.id,
        words=arm.words,
        rate=rate_of(list(drawn.outcomes), alpha),  # type: ignore[arg-type]
        distinct=drawn.distinct,
        n=seen.n,
        against=arm.against,
        verdict=None if claim is None else claim.verdict,
        difference=None if claim is None or not claim.pairs else _bounded(claim),
        ruled_out=None if claim is None else claim.ruled_out,
        smallest_visible=smallest_seen(seen.n - seen.invalid),
        ended=arm.why_not,
    )


def _leans(claim: Claim) -> bool:
    """Whether an open comparison lies two standard errors from no difference: more runs may well show it."""
    return not claim.shown and leans(claim) >= 2


def _bounded(claim: Claim) -> Est:
    """The difference; its range ends at 0 once a direction was shown, since that may fall while the range is wider."""
    found = claim.difference
    low, high = found.low or 0.0, found.high or 0.0
    if claim.verdict == "worse":
        low = max(0.0, low)
    elif claim.verdict == "better":
        high = min(0.0, high)
    return Est(found.value, low, high, found.n)


def _named(verdict: AuditVerdict, shown: Sequence[Claim], flips: int) -> tuple[str, ...]:
    """Every source that runs have shown, the verdict's first."""
    found = dict.fromkeys([verdict] if verdict not in ("steady", "undecided") else [])
    if flips:
        found["checker"] = None
    found |= dict.fromkeys(c.source for c in sorted(shown, key=lambda c: -abs(c.difference.value or 0.0)))
    return tuple(found)


def _caveats(arms: Arms, drawn: Mapping[str, Drawn], shown: Sequence[Claim]) -> list[str]:
    said = []
    if shown:
        said.append(
            "the shares take a circumstance that makes a difference to be met by half of the calls; how often it is "
            "met where the program runs is not known here"
        )
    if "Z" in drawn and drawn["Z"].varies:
        said.append("a server that ignores `temperature` looks the same as one that varies at temperature 0")
    if "C" in drawn:
        said.append(
            "a fresh beginning is a bracketed number before the prompt's first text; where the server puts tools or a "
            "text of its own before that, that part stays warm"
        )
    if "L" in drawn:
        said.append(
            f"the burst is {arms.burst} calls of this very case; what other people's calls do to the server at other "
            "hours is not seen"
        )
    if any(arm.session.store.unsettled(at.request_id, at.series) for arm in arms.arms.values() for at in arm.places):
        said.append("some calls have not come back and could not be counted")
    return said


# ---------------------------------------------------------------- words

PLAIN = {
    "load": "the number of calls at the same time",
    "cold_cache": "whether the beginning of the prompt was seen before",
    "replica": "which server answers",
    "model": "which model answers",
    "parameter": "a parameter",
}


def reply(found: Audited) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than what the runs show."""
    first = found.arms[0]
    if not first.n:
        return "No call was made, so nothing is known yet."
    said = [_production(first)]
    said += _VERDICTS[found.verdict](found)
    if found.seed == "ignored" and found.verdict not in ("steady", "checker"):
        said.append("The server does not honour a seed: the same seed brought different answers.")
    elif found.seed == "honoured" and found.verdict == "sampling":
        said.append("With a fixed seed the answer was the same each time, so a run can be repeated exactly.")
    said.append(_unseen(found))
    return " ".join(said[:6])


def _production(first: ArmShown) -> str:
    rate = first.rate
    if rate.estimate is None:
        return f"As reported it was run {counts('time', first.n)}, and no run could be judged."
    different = counts("different answer", first.distinct)
    if not rate.failures:
        return f"As reported, one call at a time, it never failed ({first.n} runs, {different})."
    return f"As reported, one call at a time, it fails {in_ten(rate.estimate)} ({first.n} runs, {different})."


def _of_checker(found: Audited) -> list[str]:
    assert found.checker is not None
    share = next((s for s in found.shares if s.source == "checker"), None)
    part = f"; that is about {percent(min(1.0, share.value))} of the variation" if share else ""
    return [
        f"It is the check: the same check said both pass and fail of the same answer for {found.checker.flips} of "
        f"{counts('answer', found.checker.outputs)}, each judged {found.checker.judgings} times{part}.",
        "Mend the check before looking for anything in the model.",
    ]


def _of_circumstance(found: Audited) -> list[str]:
    said: list[str] = []
    bad_server = any(arm.verdict == "worse" for arm in found.arms if arm.id.startswith("R:"))
    for arm in sorted(found.arms, key=lambda a: -abs((a.difference and a.difference.value) or 0.0)):
        if arm.verdict not in ("better", "worse") or arm.difference is None or len(said) == 2:
            continue
        if bad_server and arm.against == OTHERS and arm.verdict == "better":  # the bad one is among its others
            continue
        word = "more" if arm.verdict == "worse" else "less"
        by = points(abs(arm.difference.value or 0.0), signed=False)
        other = found.arm(arm.against or "")
        beside = (
            f" against {other.rate.failures} of {other.n}"
            if other
            else f", in {arm.difference.n} pairs with runs of all other servers"
        )
        said.append(
            f"{_circumstance(arm)} it fails {word} often, by {by} ({arm.rate.failures} of {arm.n} runs{beside})."
        )
    said.append(_TO_DO[found.verdict])
    return said


_TO_DO = {
    "load": "So the number of calls that the server handles together matters; that is the server's, not the prompt's.",
    "cold_cache": "So the first call with a new beginning differs from later ones; that is the server's cache.",
    "replica": "So it matters which server answers; they do not serve the same thing.",
    "model": "So it depends on which of the listed models answers.",
    "parameter": "So it depends on that parameter.",
}


def _circumstance(arm: ArmShown) -> str:
    if arm.id == "L":
        return f"With {arm.words.removeprefix('as reported, ')}"
    if arm.id == "C":
        return "With a new beginning of the prompt"
    if arm.id.startswith("R:"):
        return f"At replica {arm.id[2:]}"
    return f"With {arm.id.removeprefix('params.')}"


def _of_zero(found: Audited) -> list[str]:
    zero = found.arm("Z") or found.arms[0]
    return [
        f"At temperature 0, where nothing is left to chance, it still both passes and fails ({zero.rate.failures} of "
        f"{zero.n} failed): the server itself is not repeatable."
    ]


def _of_sampling(found: Audited) -> list[str]:
    zero = found.arm("Z")
    said = ["Nothing but chance was found: the model draws its answers, and some of them fail."]
    if zero is not None and zero.rate.estimate is not None:
        all_of = "failed" if zero.rate.failures else "passed"
        differ = f", though in {zero.distinct} different ways" if zero.distinct > 1 else ""
        cure = ", so a lower temperature is no cure" if zero.rate.failures else ""
        said.append(
            f"At temperature 0, where nothing is left to chance, it {all_of} every time ({zero.n} runs{differ}){cure}."
        )
    return said


def _of_steady(found: Audited) -> list[str]:
    first = found.arms[0]
    more = " It failed each time, so look at the request, the model and the check." if first.rate.failures else ""
    return [f"Nothing varied in these runs, and no circumstance that was tried changed that.{more}"]


def _of_undecided(found: Audited) -> list[str]:
    said = ["Where its variation comes from is not shown by these runs."]
    leaning = max(
        (a for a in found.arms if a.verdict == "undecided" and a.difference is not None),
        key=lambda a: abs((a.difference and a.difference.value) or 0.0),
        default=None,
    )
    if leaning is not None and leaning.difference is not None and abs(leaning.difference.value or 0.0) >= 0.1:
        word = "more" if (leaning.difference.value or 0.0) > 0 else "less"
        by = points(abs(leaning.difference.value or 0.0), signed=False)
        said.append(
            f"{_circumstance(leaning)} it failed {word} often, by {by}, which may be chance; the same command with a "
            "larger --budget goes on from here."
        )
    return said


_VERDICTS: dict[str, Callable[[Audited], list[str]]] = {
    "checker": _of_checker,
    **dict.fromkeys(PLAIN, _of_circumstance),
    "nondeterminism": _of_zero,
    "sampling": _of_sampling,
    "steady": _of_steady,
    "undecided": _of_undecided,
}


def _unseen(found: Audited) -> str:
    """What these runs could not have seen."""
    open_ones = [
        f"{_circumstance(arm).replace('With', 'with').replace('At ', 'at ')} "
        f"(below {points(min(1.0, arm.ruled_out), signed=False, toward='up')})"
        for arm in found.arms
        if arm.verdict == "undecided" and arm.ruled_out is not None and arm.n
    ]
    rare = f"What fails in less than {percent(found.smallest_visible, 'up')} of runs could have stayed unseen"
    if not open_ones:
        return f"{rare}."
    return f"{rare}, and so could a smaller worsening {', '.join(open_ones[:4])}."
