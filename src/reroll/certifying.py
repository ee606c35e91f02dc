"""Certify several cases at once: a fixed suite in rounds, the population that they come from, or every check alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from reroll.answer import CaseRate, Certified, CertifySection, CheckClaim, Rate, to_json
from reroll.case import Case
from reroll.caveats import about_runs, cut_short, earlier_tests, these_cases, why_stopped
from reroll.conclude import agreeing_claim, claim_section, rate_of
from reroll.dependence import about_stretches
from reroll.errors import NotCompleted, UsageError
from reroll.evidence import Evidence
from reroll.numbers import counts
from reroll.outcomes import Outcomes
from reroll.plan import Plan, next_draws
from reroll.program import content_id
from reroll.runner import crashing_check, draw_more, question_words, tell
from reroll.runs import Runs
from reroll.session import Session, Slots, judged, one_a_call, series_of, slots, too_dear
from reroll.taken_out import TakenOut, taken_out

__all__ = ["Goal", "certify_cases"]

About = Literal["case", "suite", "population"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be certified: the mean over these cases (suite), new cases like them (population), or one case.

    `each_check`: every check by itself, each at an equal share of alpha.
    """

    about: About
    cases: tuple[Case, ...]
    target: float
    each_check: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    """One stream of outcomes with its plan: all checks together, or the check of this name where a case has it.

    `at`: which places it looks at, and at which of their checks (None: all together).
    """

    check: str | None
    at: tuple[tuple[int, int | None], ...]
    plan: Plan


async def certify_cases(session: Session, goal: Goal) -> Certified:
    """The claims about these cases; every draw and the decision are stored, and the same command goes on later.

    A suite runs every case once a round and is looked at where rounds end, so the cases may differ
    as they like. A population takes one run of each case: repeats stand in for no case.
    """
    if goal.about == "population":
        one_a_call(session, "a claim about new requests takes one run of each")
    least, budget = len(goal.cases) * session.per_call, session.options.budget
    if goal.about == "suite" and session.per_call > 1 and 0 < budget < least:
        raise UsageError(
            f"--budget {budget} is too small: a round over {counts('case', len(goal.cases))} with `n` takes "
            f"{least} samples",
            slug="budget",
        )
    places = _places(session, goal)
    cases = [at.case for at in places]
    session.store.put_program(session.project.program)
    for case in cases:
        session.store.put_case(case)
    runs = [judged(session, at) for at in places]
    session.spent.reused += _used(goal, runs)
    claims = _claims(session, goal, places)
    broken = ""
    try:
        while wanted := _wanted(session, goal, claims, runs):
            await _draw(session, goal, places, runs, wanted)
            runs = [judged(session, at, before) for at, before in zip(places, runs, strict=True)]
            for case, seen in zip(cases, runs, strict=True):
                crashing_check(case, seen)
            if session.exhausted:
                break
    except NotCompleted as error:
        broken = str(error)
        runs = [judged(session, at) for at in places]
    if session.exhausted and not _used(goal, runs):
        raise session.exhausted
    return _concluded(session, goal, places, claims, runs, broken)


def _places(session: Session, goal: Goal) -> list[Slots]:
    """Where the cases' draws are kept, in the order in which the test takes them.

    A suite and a population have series of their own: runs that were seen before somebody chose the
    cases, or that `--fresh` replaced for one of them, would let the choice bend the test. A series names
    its case, since cases may send the same request, and a sample counts once. A population's cases keep
    the turn that they once had, so that new cases go to the end and no verdict is taken anew.
    """
    if goal.about == "case":
        return [slots(session, case) for case in goal.cases]
    if goal.about == "suite":
        key = content_id("suite", sorted([case.id, case.content_id] for case in goal.cases))
        return [slots(session, case, series=f"{key} {case.id}") for case in goal.cases]
    _all_differ(session, goal.cases)
    places = [slots(session, case, series=f"population {case.id}") for case in goal.cases]
    before = _order_so_far(session)
    run = {at.case.id: bool(judged(session, at)) for at in places}

    def turn(at: Slots) -> tuple[int, bool, str]:
        # What was decided on keeps its turn, then what was run since, then the new ones.
        return before.get(at.case.id, len(before)), not run[at.case.id], _scattered(at.case)

    return sorted(places, key=turn)


def _order_so_far(session: Session) -> dict[str, int]:
    """The turn of every case that an earlier decision about the population looked at.

    Not the order in which answers arrived: quick answers would come first.
    """
    turns: dict[str, int] = {}
    for made in session.store.decisions(rule="certify/1", program_id=session.project.program.id):
        facts = made.evidence or {}
        for case in facts.get("cases", ()) if facts.get("about") == "population" else ():
            turns.setdefault(case, len(turns))
    return turns


def _all_differ(session: Session, cases: Sequence[Case]) -> None:
    """Raises: UsageError where two cases send the same request: the second one is no new request."""
    seen: dict[str, str] = {}
    for case in cases:
        request = session.project.program.render(case.input, case.history).id("")
        if session.model.name.startswith("recorded:"):
            request = case.id
        if (other := seen.setdefault(request, case.id)) != case.id:
            raise UsageError(
                f"cases `{other}` and `{case.id}` send the same request; a claim about new requests takes different "
                "ones, so remove one of them",
                slug="about",
            )


def _scattered(case: Case) -> str:
    """A fixed order of cases that has nothing to do with what they are about."""
    return hashlib.blake2b(f"{case.content_id} {case.id}".encode(), digest_size=8).hexdigest()


def _claims(session: Session, goal: Goal, places: Sequence[Slots]) -> tuple[_Claim, ...]:
    options = session.options
    names: list[str | None] = [None]
    if goal.each_check:
        names = list(dict.fromkeys(name for at in places for name in at.case.check_names()))
    claims = []
    for name in names:
        mine = _where(name, places)
        plan = Plan(
            "certify",
            target=goal.target,
            alpha=options.alpha / len(names),
            horizon=options.horizon,
            concurrency=options.concurrency or session.model.concurrency,
            round_size=len(mine) if goal.about == "suite" else 1,
            per_call=session.per_call,
        )
        claims.append(_Claim(name, mine, plan))
    return tuple(claims)


def _where(name: str | None, places: Sequence[Slots]) -> tuple[tuple[int, int | None], ...]:
    if name is None:
        return tuple((i, None) for i in range(len(places)))
    names = [at.case.check_names() for at in places]
    return tuple((i, have.index(name)) for i, have in enumerate(names) if name in have)


def _outcomes(goal: Goal, claim: _Claim, runs: Sequence[Runs]) -> Outcomes:
    """The claim's outcomes in the order that its test looks at: rounds of cases, or the first run of each."""
    mine = [runs[i].words(k) for i, k in claim.at]
    if goal.about == "population":
        done = next((k for k, row in enumerate(mine) if not row), len(mine))
        return Outcomes(row[0] for row in mine[:done])
    return Outcomes.in_rounds(mine)


def _counted(goal: Goal, runs: Sequence[Runs]) -> list[Runs]:
    """The runs of every case that count: those of whole rounds, or the first one of each case."""
    if goal.about == "population":
        done = next((k for k, row in enumerate(runs) if not row), len(runs))
        return [row.first(1 if k < done else 0) for k, row in enumerate(runs)]
    rounds = min(map(len, runs), default=0)
    return [row.first(rounds) for row in runs]


def _used(goal: Goal, runs: Sequence[Runs]) -> int:
    return sum(map(len, _counted(goal, runs)))


def _wanted(session: Session, goal: Goal, claims: Sequence[_Claim], runs: Sequence[Runs]) -> int:
    """How many draws to make now: what the neediest undecided claim asks for, in rounds for a suite."""
    together = sum((Evidence.of(row.words()) for row in _counted(goal, runs)), Evidence())
    n, size = together.n, 1 if goal.about == "population" else len(runs)
    tell(session, _name(goal), together, question_words(claims[0].plan), n + max(0, session.left))
    if session.stopped or too_dear(session) or (goal.about == "population" and n == len(runs)):
        return 0
    most = 0
    for claim in claims:
        outcomes = _outcomes(goal, claim, runs)
        plan = replace(claim.plan, budget=len(outcomes) + max(0, session.left))
        most = max(most, -(-next_draws(plan, outcomes) // claim.plan.round_size))
    left = session.left // (size * session.per_call) * session.per_call
    wanted = min(most, left, len(runs) - n if goal.about == "population" else left)
    return 0 if wanted > 0 and session.spent.out_of_time() else wanted


def _name(goal: Goal) -> str:
    return goal.cases[0].id if goal.about == "case" else f"{len(goal.cases)} cases"


async def _draw(session: Session, goal: Goal, places: Sequence[Slots], runs: Sequence[Runs], wanted: int) -> None:
    """So many more rounds over all cases, or so many more cases; a case that is ahead already waits for the others."""
    if goal.about == "population":
        missing = [at for at, row in zip(places, runs, strict=True) if not row]
        await draw_more(session, missing[:wanted], 1)
        return
    until = min(map(len, runs)) + wanted
    lacking = [until - len(row) for row in runs]
    for each in sorted({n for n in lacking if n > 0}):
        if not session.stopped and not session.exhausted and not session.spent.out_of_time():
            await draw_more(session, [at for at, n in zip(places, lacking, strict=True) if n == each], each)


def _concluded(
    session: Session,
    goal: Goal,
    places: Sequence[Slots],
    claims: Sequence[_Claim],
    runs: Sequence[Runs],
    broken: str,
) -> Certified:
    sections = [
        claim_section(
            goal.about,
            _outcomes(goal, claim, runs),
            goal.target,
            claim.plan.alpha,
            claim.plan.horizon,
            claim.plan.round_size,
        )
        for claim in claims
    ]
    gone = taken_out(session, places, runs) if goal.about == "population" else TakenOut()
    if gone.failed:  # what is left was chosen by how it fared
        sections = [replace(s, verdict="undecided", claim_today=None, calls_needed=None) for s in sections]
    outcomes = _outcomes(goal, _Claim(None, _where(None, places), claims[0].plan), runs)
    together = rate_of(outcomes, session.options.alpha)
    total = _total(sections, together if goal.each_check else None)
    shown = [agreeing_claim(section) for section in sections]
    checks = tuple(CheckClaim(c.check or "", s) for c, s in zip(claims, shown, strict=True) if c.check is not None)
    certify = _together(shown, together) if checks else shown[0]
    counted = _counted(goal, runs)
    program = session.project.program
    stopped = broken or ("cases that had failed were taken out" if gone.failed else "")
    stopped = stopped or _why(session, goal, claims, sections, runs)
    answer = Certified(
        certify=certify,
        checks=checks,
        cases=tuple(
            CaseRate(at.case.id, rate_of(row.words(), session.options.alpha))
            for at, row in zip(places, counted, strict=True)
        ),
        program={"name": program.program, "id": program.id},
        model=session.model.identity,
        # Before the cost: a judge may be asked for them about runs that do not count.
        caveats=(*gone.words, *_caveats(session, goal, places, counted, checks or (CheckClaim("", certify),))),
        cost=session.spent.cost(),
        alpha_total=total,
        outcomes=outcomes,
        stopped=stopped,
        finished=not broken and not session.stopped and not cut_short(session, certify.verdict),
    )
    _keep(session, goal, places, answer, counted)
    return answer


def _total(sections: Sequence[CertifySection], together: Rate | None) -> float:
    """The chance that a verdict or an interval is ever wrong; rates of single cases stand by themselves.

    together: how often any check fails, where each is claimed alone.
    """
    intervals = sum(s.rate.alpha for s in sections) + (0.0 if together is None else together.alpha)
    return round(min(1.0, sum(s.alpha for s in sections) + intervals), 12)


def _together(sections: Sequence[CertifySection], rate: Rate) -> CertifySection:
    """Every check alone, in one word: met where all are, not met where one is not."""
    verdicts = {section.verdict for section in sections}
    verdict: Literal["met", "not_met", "undecided"] = (
        "not_met" if "not_met" in verdicts else "met" if verdicts == {"met"} else "undecided"
    )
    needed = [s.calls_needed for s in sections]
    first = sections[0]
    return CertifySection(
        verdict=verdict,
        target=first.target,
        about=first.about,
        rate=rate,
        claim_today=None,
        calls_needed=0 if verdict != "undecided" else None if None in needed else max(n or 0 for n in needed),
        horizon=first.horizon,
        alpha=sum(s.alpha for s in sections),
    )  # no claim about all checks together: ten checks may each pass 97 % and fail on different runs


def _why(
    session: Session,
    goal: Goal,
    claims: Sequence[_Claim],
    sections: Sequence[CertifySection],
    runs: Sequence[Runs],
) -> str:
    still_open = [
        claim
        for claim, found in zip(claims, sections, strict=True)
        if found.verdict == "undecided" and not found.contradicted
    ]
    if still_open and goal.about == "population" and _used(goal, runs) == len(runs):
        return (
            f"every one of the {counts('case', len(runs))} has had its one run; a claim about new requests takes new "
            "cases, repeats do not stand in for them"
        )
    chosen = still_open[0] if still_open else claims[0]
    return why_stopped(session, chosen.plan, _outcomes(goal, chosen, runs), undecided=bool(still_open))


def _caveats(
    session: Session, goal: Goal, places: Sequence[Slots], counted: Sequence[Runs], claims: Sequence[CheckClaim]
) -> Iterator[str]:
    yield from about_runs(session, places, counted)
    yield from about_stretches(places, counted)
    if any(claim.certify.contradicted for claim in claims):
        yield "earlier and later runs contradict one another: the rate changed in between; --fresh starts anew"
    if goal.about == "suite":
        yield (
            f"this speaks of {these_cases(len(places))} only; new requests may fail "
            "more often (--about population asks about those)"
        )
    if goal.about == "population":
        picked = sum(at.case.set != "control" for at in places)
        if gone := len(_order_so_far(session).keys() - {at.case.id for at in places}):
            are = "is" if gone == 1 else "are"
            yield f"{counts('case', gone)} of an earlier look at this population {are} not among these"
        yield (
            f"this speaks of requests drawn as these {counts('case', len(places))} were; "
            "it holds if they were picked without looking at how they fare"
        )
        if picked:
            yield (
                f"{counts('case', picked)} of them {'is' if picked == 1 else 'are'} no control: a case that was "
                "reported because it failed makes requests look worse than they are"
            )
    for claim in claims:
        ids = [at.case.id for at in places]
        yield from earlier_tests(session, claim.certify, ids, series_of(places), claim.check or None)


def _keep(session: Session, goal: Goal, places: Sequence[Slots], answer: Certified, counted: Sequence[Runs]) -> None:
    """One row for every claim, naming the samples, so that each can be replayed and audited."""
    ids = [session.checker.ids(at.case, session.judging) for at in places]
    for check, section in [(c.check, c.certify) for c in answer.checks] or [("", answer.certify)]:
        session.store.add_decision(
            rule="certify/1",
            question=f"certify {goal.about}",
            case_id=places[0].case.id if goal.about == "case" else None,
            program_id=session.project.program.id,
            alpha=section.alpha,
            target=section.target,
            horizon=session.options.horizon,
            checks_ids=sorted({i for case_ids in ids for i in case_ids}),
            verdict=section.verdict,
            stop_reason=answer.stopped,
            seqs=chain.from_iterable(row.seqs for row in counted),
            evidence={
                **to_json(section),
                "series": series_of(places),
                "cases": [at.case.id for at in places],
                **({"check": check} if check else {}),
            },
        )
