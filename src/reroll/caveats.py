"""What a reader must know beside the numbers: old and lost runs, loose references, earlier tests, why it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

from reroll.answer import CertifySection, LuckSection, NotExamined, Reference
from reroll.case import Case
from reroll.dependence import about_equal_answers, about_later_tries, about_product, about_span
from reroll.evidence import Evidence
from reroll.numbers import counts, percent
from reroll.plan import Plan, stop_reason
from reroll.runs import Runs, day_words
from reroll.session import Session, Slots, exploratory, too_dear

__all__ = [
    "about_missing",
    "about_reference",
    "about_runs",
    "about_verdicts",
    "asked_before",
    "cut_short",
    "earlier_comparisons",
    "earlier_tests",
    "these_cases",
    "time_was_up",
    "why_stopped",
]

MANY, FEW = 20, 4  # so many runs, and so many of each answer on average
Verdicts = tuple[LuckSection, CertifySection | NotExamined]

NOT_COUNTED: tuple[tuple[Literal["refused", "outage", "cut", "copy"], str], ...] = (
    ("refused", "brought nothing back while the server took no call"),
    ("outage", "brought nothing back while the server was down"),
    ("cut", "stood for draws that were stopped before the steps had all they asked for"),
    ("copy", "brought an answer that had come before, under the same name of the server's for it (a cache?)"),
)


def _labelled(session: Session, runs: Sequence[Runs]) -> tuple[int, int]:
    """How many of these runs people labelled as right or wrong, and how many of them otherwise than they are judged."""
    said: dict[int, dict[str, list[str]]] = {}  # by the length of the id as given, which may be a beginning
    for label in session.project.labels:
        if label.outcome != "unsure":
            said.setdefault(len(label.sample), {}).setdefault(label.sample, []).append(label.outcome)
    labelled = otherwise = 0
    for run in chain.from_iterable(runs if said else ()):
        for length, of in said.items():
            for word in of.get(run.stored.id[:length], ()):
                labelled += 1
                otherwise += run.outcome.outcome not in (word, "invalid")
    return labelled, otherwise


def about_runs(session: Session, places: Sequence[Slots], runs: Sequence[Runs]) -> Iterator[str]:
    """What stands behind these runs, drawn at these places."""
    old = sum((Evidence.of(exploratory(session, at).words()) for at in places), Evidence())
    if old.n:
        yield (
            f"exploratory: {counts('earlier run', old.n)}, judged with the check as it is now, failed "
            f"{counts('time', old.failures)}; they were drawn before this check existed and do not count"
        )
    if any(runs) and not session.spent.calls:
        days = [day_words(day) for day in sorted({day for some in runs for day in some.days()})]
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        yield f"every run is from an earlier command ({when}); --fresh runs the request anew"
    yield from about_span(session, runs)
    yield from about_product(session)
    yield from about_missing(session, places)
    yield from about_later_tries(session, places)
    yield from about_equal_answers(session, places, runs)
    if any(some.several() for some in runs):
        yield (
            f"the runs came {session.per_call} to a call (n): those of one call share its server, its cache and its "
            "moment, so they may be more alike than separate calls, and fewer calls stand behind the numbers than runs"
        )
    labelled, otherwise = _labelled(session, runs)
    if otherwise:
        yield (
            f"people labelled {counts('run', labelled)} of these, and {otherwise} of them otherwise than "
            "the checks; `reroll check` says how often answers really fail"
        )
    yield from _about_judges(session, [at.case for at in places], runs, labelled)
    if broken := sum(some.broken for some in runs):
        reason = max((some.why_broken() for some in runs if some.broken), key=len)
        yield (
            f"a check could not run on {counts('run', broken)} ({reason}): what no other check fails counts both as a "
            "pass and as a failure; the same command judges them again, without drawing them"
        )
    if any(_carries_a_seed(session, at.case) for at in places):
        yield "every call carries the same seed, so the runs may be copies of one another, not independent"
    if session.model.name.startswith("recorded:"):
        yield "these are recorded completions, not fresh calls; they speak for the time when they were recorded"
    answered = sorted({name for some in runs for name in some.models()})
    if len(answered) > 1:
        yield f"{len(answered)} model versions answered ({', '.join(answered[:4])}); the rate mixes them"


def about_missing(session: Session, places: Sequence[Slots]) -> Iterator[str]:
    """What was drawn at these places, or begun, and is not counted."""
    unit = session.unit
    if lost := sum(session.store.unsettled(at.request_id, at.series) for at in places):
        has, it = ("has", "it") if lost == 1 else ("have", "them")
        yield (
            f"{counts(unit, lost)} {has} not come back (a run was stopped, its time was up, or it is still waiting "
            f"for {it}) and could not be counted; calls that take long are missing more often than quick ones"
        )
    for source, why in NOT_COUNTED:
        found = (session.store.spend(request_id=at.request_id, series=at.series, source=source) for at in places)
        if n := sum(spent.calls for spent in found):
            yield f"{counts('call', n)} {why}, and are not counted"


def _about_judges(session: Session, cases: Sequence[Case], runs: Sequence[Runs], labelled: int) -> Iterator[str]:
    """That a model's word is taken for what is right, and how to know how far it can be."""
    judges: dict[str, str] = {}  # the first check of each model
    for case in cases:
        for name, outer in zip(case.check_names(), case.checks, strict=True):
            for check in outer.walk():
                if check.kind == "judge":
                    judges.setdefault(check.value["model"], name)
    if not judges:
        return
    who = " and ".join(judges)
    if not labelled:
        yield (
            f"what is right here is the word of {who}, which was held against no person's labels of these runs: "
            f"`reroll check {next(iter(judges.values()))} --label 40` tells how often it errs"
        )
    n, answers = sum(map(len, runs)), sum(len(set(some.said)) for some in runs)
    if n >= MANY and answers * FEW <= n:
        yield (
            f"{counts('run', n)} brought {counts('different answer', answers)}, each of them judged once: where the "
            "judge errs on one, it errs on all runs that say so"
        )
    if session.project.program.model in judges:
        yield (
            f"{session.project.program.model} judges its own answers, and models tend to like what they wrote "
            "themselves"
        )


def these_cases(n: int) -> str:
    """The cases of a suite, as a caveat names them."""
    return "this one case" if n == 1 else f"these {counts('case', n)}, each weighing the same,"


def _carries_a_seed(session: Session, case: Case) -> bool:
    request = session.project.program.render(case.input, case.history)
    return "seed" in request.body and (session.options.seed is None or request.raw is not None)


def about_reference(question: str, reference: Reference) -> Iterator[str]:
    """Where the reference rate comes from, or that there is none."""
    if reference.source == "controls" and reference.n:
        limit = f", so at most {percent(reference.rate, 'up')} fail" if reference.rate is not None else ""
        unjudged = f", {counts('run', reference.invalid)} could not be judged" if reference.invalid else ""
        yield (
            f"“ordinary requests” are the project's control cases: {counts('failure', reference.failures)} in "
            f"{counts('run', reference.n)}{unjudged}{limit}"
        )
    if reference.source == "none" and question == "luck":
        yield "the project has no control cases and no reference_rate, so worse than usual cannot be told from usual"


def about_verdicts(session: Session, at: Slots, answer: Verdicts, question: str) -> Iterator[str]:
    """Whether the runs contradict one another, and which tests were made before; `question`: luck or certify."""
    luck, certify = answer
    if luck.contradicted or (isinstance(certify, CertifySection) and certify.contradicted):
        yield "earlier and later runs contradict one another: the rate changed in between; --fresh starts anew"
    if isinstance(certify, CertifySection):
        yield from earlier_tests(session, certify, (at.case.id,), at.series, None)
    if question == "luck":
        asked, how = "whether it is luck", "each time from zero"
        yield from asked_before(session, "luck/1", at.case.id, at.series, luck.alpha, asked, how, question)


def earlier_tests(
    session: Session, certify: CertifySection, cases: Sequence[str], series: str, check: str | None
) -> Iterator[str]:
    """That this target was tested before for these cases, each time from zero: the chances of error add up.

    `check` names the one check that it is about; None: all of them together. Of a population, a test that went
    on with more cases is one test; with other cases it is another.
    """
    made = session.store.decisions(rule="certify/1", program_id=session.project.program.id)
    now = set(cases)
    same = []
    for d in made:
        facts = d.evidence or {}
        then = set(facts.get("cases") or [d.case_id])
        known = then == now or (certify.about == "population" and bool(then & now))
        if d.target == certify.target and known and (facts.get("about"), facts.get("check")) == (certify.about, check):
            went_on = then <= now
            same.append((d, (d.horizon, facts.get("series"), "" if went_on else tuple(sorted(then)))))
    tests = {key: d.alpha or 0.0 for d, key in sorted(same, key=lambda s: s[0].alpha or 0.0)}
    key = (session.options.horizon, series, "")
    tests[key] = max(tests.get(key, 0.0), certify.alpha)
    if len(tests) > 1:
        what = {"case": "this case", "suite": "these cases", "population": "this population"}[certify.about]
        what += f" and check `{check}`" if check else ""
        yield (
            f"this target has been tested {len(tests)} times for {what}, each time from zero: the chance that any "
            f"of these tests is wrong adds up to {percent(min(1.0, sum(tests.values())), 'up')}"
        )
    smaller = [d.alpha for d, _ in same if d.alpha is not None and d.alpha < certify.alpha and d.verdict == "undecided"]
    if smaller and certify.verdict != "undecided":
        yield f"with an error chance of {percent(min(smaller))} the same runs were undecided"


def asked_before(
    session: Session, rule: str, case: str, series: str, alpha: float, asked: str, how: str, question: str | None = None
) -> Iterator[str]:
    """That this question was asked of this case before, in a series of its own: the chances of error add up.

    `asked`: the question in words; `how`: what tells the times apart; `question`: the decisions that it is about, where
    a rule has several kinds.
    """
    tests: dict[str, float] = {}
    for d in session.store.decisions(rule=rule, program_id=session.project.program.id, case_id=case):
        if question is None or d.question == question:
            name = str((d.evidence or {}).get("series", ""))
            tests[name] = max(tests.get(name, 0.0), d.alpha or 0.0)
    tests[series] = max(tests.get(series, 0.0), alpha)
    if len(tests) > 1:
        yield (
            f"{asked} has been asked of this case {len(tests)} times, {how}: the chance "
            f"that any of these answers is wrong adds up to {percent(min(1.0, sum(tests.values())), 'up')}"
        )


def earlier_comparisons(session: Session, programs: Sequence[str], series: str, alpha: float) -> Iterator[str]:
    """That these very programs were compared before, each time from zero: with another horizon or other cases, say."""
    same = [
        d
        for d in session.store.decisions(rule="compare/1")
        if sorted((d.evidence or {}).get("programs", ())) == sorted(programs)
    ]
    tests = {
        str((d.evidence or {}).get("series")): (d.evidence or {}).get("alpha_of_run") or d.alpha or 0.0 for d in same
    }
    tests[series] = max(tests.get(series, 0.0), alpha)
    if len(tests) > 1:
        yield (
            f"these variants have been compared {len(tests)} times, each time from zero: the chance that any of these "
            f"comparisons is wrong adds up to {percent(min(1.0, sum(tests.values())), 'up')} for each direction"
        )


def cut_short(session: Session, verdict: str) -> bool:
    """Whether the time was up before the question with this verdict was decided: such a run did not finish."""
    return session.spent.cut_short and verdict == "undecided"


def time_was_up(session: Session) -> str:
    """That the time was up, in words."""
    return f"the time was up (--max-seconds {session.options.max_seconds:g}); the same command goes on from here"


def why_stopped(
    session: Session, plan: Plan, outcomes: Sequence[str], *, undecided: bool, few_controls: bool = False
) -> str:
    """Why no more calls were made, in words. `undecided`: no verdict fell on what this plan is about; `few_controls`:
    only for want of more control runs, which a higher budget pays for."""
    if session.stopped:
        return "stopped by you; the same command goes on from here"
    if undecided and session.spent.cut_short:
        return time_was_up(session)
    cap = session.options.max_usd
    if cap is not None and too_dear(session):
        purse, own = session.spent.purse, session.spent.usd or 0
        others = purse.stored - own if purse else 0
        by = f", ${others:.2g} of it by other commands on this store" if others > cap / 1e4 else ""
        return (
            f"the spending cap of ${cap:g} was reached{by}; the same command with a higher --max-usd goes on from here"
        )
    if session.exhausted is not None:
        return f"the recording has no more completions of this case ({counts('run', len(outcomes))})"
    plan = replace(plan, budget=len(outcomes) + max(0, session.left), per_call=session.per_call)
    reason = stop_reason(plan, outcomes)
    if reason == "decided" and plan.at_least and few_controls:
        return (
            "it is known whether this happens often, and the share of the budget for control cases was spent; the same "
            "command with a higher --budget runs more of them, and compares"
        )
    if reason == "decided" and plan.at_least:
        return "it is known whether this happens often, and with nothing to compare with no run would tell more"
    unit = session.unit
    budget = counts(unit, session.options.budget)
    return {
        "decided": "the question was decided",
        "budget": f"the budget of {budget} was spent; the same command with a higher --budget goes on from here",
        "horizon": f"the declared horizon of {counts(unit, session.options.horizon or 0)} was reached",
        "out_of_reach": "nothing that could still come would decide it",
        None: "",
    }[reason]
