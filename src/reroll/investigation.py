"""One question about one case, from the first call to the stored decision and the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from reroll.answer import Answer, CertifySection, Cost, LuckSection, NotExamined, OutcomeWord, Reference, to_json
from reroll.balance import LOOK_FIRST
from reroll.case import Case, Report
from reroll.conclude import NOT_BUILT, Seen, certify_section, luck_section, sum_of_alphas, three_samples
from reroll.controls import Controls
from reroll.errors import NotCompleted
from reroll.looking import said_by
from reroll.numbers import counts, percent
from reroll.plan import Plan, stop_reason
from reroll.runner import Judged, Session, Slots, exploratory, run_case, slots, words
from reroll.words import reply

__all__ = ["Asked", "investigate"]

Question = Literal["luck", "certify"]
Verdicts = tuple[LuckSection, CertifySection | NotExamined]
# Where neither a reference nor a target is given, the question is whether it works this often (DESIGN.md section 5).
TOLERABLE_SUCCESS = 0.95
NO_REFERENCE = Reference(None, "none")
# With nothing to compare with, the rate itself is the answer, and two runs are none.
RUNS_WITHOUT_REFERENCE = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered: luck stops when bad luck or not is known, certify when the target is."""

    report: Report
    case: Case
    question: Question = "luck"
    target: float | None = None
    fidelity: Literal["exact", "rebuilt"] = "rebuilt"


async def investigate(session: Session, asked: Asked) -> Answer:
    """The answer to one question about one case; every draw and the decision are stored.

    When calls stop coming back, the answer holds what is known and `stopped` says why; the
    caller turns that into exit code 4. Raises: ModelError when no call got through at all.
    """
    if asked.report.sample is not None:
        session.since = session.store.sample(asked.report.sample).seq
    program_id = session.store.put_program(session.project.program)
    session.store.put_case(asked.case)
    session.store.put_report(asked.report, program_id)
    target = asked.target if asked.target is not None else session.project.program.target
    controls = Controls(session, asked.case) if asked.question == "luck" else None
    runs: list[Judged] = []
    broken = ""

    async def plan(outcomes: list[OutcomeWord]) -> Plan:
        if controls is None:
            return plan_for(session, asked, NO_REFERENCE, target)
        await controls.draw_for(outcomes, target)
        known = plan_for(session, asked, controls.reference(), target)
        # Before there is a reference, a look at the case: what it does decides how many controls are worth it.
        return replace(known, concurrency=2, at_least=LOOK_FIRST) if controls.pending else known

    try:
        runs = await run_case(session, asked.case, plan)
    except NotCompleted as error:
        broken = str(error)
        runs = session.runs(asked.case)
    reference = controls.reference() if controls else NO_REFERENCE
    answer = _answer(session, asked, reference, target, runs, broken)
    _keep_decisions(session, asked, answer, runs)
    return answer


def plan_for(session: Session, asked: Asked, reference: Reference, target: float | None) -> Plan:
    """What to draw for this question; without a reference, luck turns on the target or the tolerable rate."""
    options = session.options
    shared: dict[str, Any] = {
        "alpha": options.alpha,
        "horizon": options.horizon,
        "budget": options.budget,
        "concurrency": options.concurrency or session.model.concurrency,
    }
    if asked.question == "luck" and reference.rate is not None:
        return Plan("luck", target=target, reference_rate=reference.rate, **shared)
    at_least = RUNS_WITHOUT_REFERENCE if asked.question == "luck" else 0
    return Plan("certify", target=target or TOLERABLE_SUCCESS, at_least=at_least, **shared)


def _answer(
    session: Session, asked: Asked, reference: Reference, target: float | None, runs: Sequence[Judged], broken: str
) -> Answer:
    options, outcomes = session.options, words(runs)
    luck = luck_section(outcomes, reference, target, options.alpha, options.horizon)
    certify = certify_section(outcomes, target, options.alpha, options.horizon)
    plan = plan_for(session, asked, reference, target)
    program = session.project.program
    shown = [
        Seen(j.stored.id, j.outcome.outcome, j.outcome.reason, said_by(j.stored.sample), j.outcome.marks) for j in runs
    ]
    return Answer(
        report={**asked.report.model_dump(exclude_none=True), "fidelity": asked.fidelity},
        case={
            "id": asked.case.id,
            "set": asked.case.set,
            "input": asked.case.input,
            "checks": list(asked.case.check_names()),
        },
        program={"name": program.program, "id": program.id},
        model=session.model.identity,
        luck=luck,
        certify=certify,
        cause=NOT_BUILT,
        dud=NOT_BUILT,
        surprise=NOT_BUILT,
        fixes=(),
        cost=_cost(session),
        caveats=tuple(_caveats(session, asked, reference, runs, (luck, certify))),
        text=reply(luck, certify, fresh=bool(session.spent.calls or not runs)),
        alpha_total=sum_of_alphas(luck, certify),
        outcomes=tuple(outcomes),
        samples=three_samples(shown),
        stopped=broken or _why_stopped(session, plan, outcomes),
        finished=not broken and not session.stopped,
    )


def _cost(session: Session) -> Cost:
    spent = session.spent
    return Cost(
        calls=spent.calls,
        control_calls=spent.control_calls,
        attempts=spent.attempts,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        usd=spent.usd,
        seconds=round(spent.seconds, 3),
        reused=spent.reused,
    )


def _why_stopped(session: Session, plan: Plan, outcomes: Sequence[str]) -> str:
    if session.stopped:
        return "stopped by you; the same command goes on from here"
    cap = session.options.max_usd
    if cap is not None and (session.spent.usd or 0) >= cap:
        return f"the spending cap of ${cap:g} was reached; the same command with a higher --max-usd goes on from here"
    if session.exhausted is not None:
        return f"the recording has no more completions of this case ({counts('run', len(outcomes))})"
    reason = stop_reason(replace(plan, budget=len(outcomes) + max(0, session.left)), outcomes)
    if reason == "decided" and plan.at_least:
        return "it is known whether this happens often, and with nothing to compare with no run would tell more"
    budget = counts("call", session.options.budget)
    return {
        "decided": "the question was decided",
        "budget": f"the budget of {budget} was spent; the same command with a higher --budget goes on from here",
        "horizon": f"the declared horizon of {counts('call', session.options.horizon or 0)} was reached",
        "out_of_reach": "nothing that could still come would decide it",
        None: "",
    }[reason]


def _caveats(
    session: Session, asked: Asked, reference: Reference, runs: Sequence[Judged], answer: Verdicts
) -> list[str]:
    """What a reader must know beside the numbers."""
    at = slots(session, asked.case)
    return [
        note
        for note in (
            *_about_runs(session, asked, at, runs),
            *_about_reference(asked, reference),
            *_about_verdicts(session, asked, at, answer),
        )
        if note
    ]


def _about_runs(session: Session, asked: Asked, at: Slots, runs: Sequence[Judged]) -> Iterator[str]:
    if old := exploratory(session, at):
        failed = sum(j.outcome.outcome == "fail" for j in old)
        yield (
            f"exploratory: {counts('earlier run', len(old))}, judged with the check as it is now, failed "
            f"{counts('time', failed)}; they were drawn before this check existed and do not count"
        )
    if runs and not session.spent.calls:
        days = sorted({_day(j) for j in runs})
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        yield f"every run is from an earlier command ({when}); --fresh runs the request anew"
    if lost := session.store.unsettled(at.request_id, at.series):
        yield f"{counts('call', lost)} never came back (a run was stopped meanwhile) and could not be counted"
    missing: tuple[tuple[Literal["refused", "outage"], str], ...] = (
        ("refused", "the server took no call"),
        ("outage", "the server was down"),
    )
    for source, why in missing:
        if n := len(session.store.samples(request_id=at.request_id, series=at.series, source=source)):
            yield f"{counts('call', n)} brought nothing back while {why}, and are not counted"
    request = session.project.program.render(asked.case.input, asked.case.history)
    if "seed" in request.body and (session.options.seed is None or request.raw is not None):
        yield "every call carries the same seed, so the runs may be copies of one another, not independent"
    if session.model.name.startswith("recorded:"):
        yield "these are recorded completions, not fresh calls; they speak for the time when they were recorded"
    answered = sorted({j.stored.sample.model or "" for j in runs} - {""})
    if len(answered) > 1:
        yield f"{len(answered)} model versions answered ({', '.join(answered[:4])}); the rate mixes them"


def _day(judged: Judged) -> str:
    return datetime.fromtimestamp(judged.stored.settled, UTC).strftime("%Y-%m-%d")


def _about_reference(asked: Asked, reference: Reference) -> Iterator[str]:
    if reference.source == "controls" and reference.n:
        limit = f", so at most {percent(reference.rate, 'up')} fail" if reference.rate is not None else ""
        unjudged = f", {counts('run', reference.invalid)} could not be judged" if reference.invalid else ""
        yield (
            f"“ordinary requests” are the project's control cases: {counts('failure', reference.failures)} in "
            f"{counts('run', reference.n)}{unjudged}{limit}"
        )
    if reference.source == "none" and asked.question == "luck":
        yield "the project has no control cases and no reference_rate, so worse than usual cannot be told from usual"


def _about_verdicts(session: Session, asked: Asked, at: Slots, answer: Verdicts) -> Iterator[str]:
    luck, certify = answer
    if luck.contradicted or (isinstance(certify, CertifySection) and certify.contradicted):
        yield "earlier and later runs contradict one another: the rate changed in between; --fresh starts anew"
    if isinstance(certify, NotExamined):
        return
    same = session.store.decisions(rule="certify/1", program_id=session.project.program.id, case_id=asked.case.id)
    same = [d for d in same if d.target == certify.target]
    tests = {(d.horizon, (d.evidence or {}).get("series")) for d in same} | {(session.options.horizon, at.series)}
    if len(tests) > 1:
        chance = percent(min(1.0, len(tests) * certify.alpha), "up")
        yield (
            f"this target has been tested {len(tests)} times for this case, each time from zero: the chance that any "
            f"of these tests is wrong adds up to {chance}"
        )
    smaller = [d.alpha for d in same if d.alpha is not None and d.alpha < certify.alpha and d.verdict == "undecided"]
    if smaller and certify.verdict != "undecided":
        yield f"with an error chance of {percent(min(smaller))} the same runs were undecided"


def _keep_decisions(session: Session, asked: Asked, answer: Answer, runs: Sequence[Judged]) -> None:
    """One row per verdict, naming the samples, so that each can be replayed and audited."""
    for name, section in (("luck", answer.luck), ("certify", answer.certify)):
        if isinstance(section, LuckSection | CertifySection):
            session.store.add_decision(
                rule=f"{name}/1",
                question=asked.question,
                case_id=asked.case.id,
                program_id=session.project.program.id,
                alpha=section.alpha,
                target=section.target if isinstance(section, CertifySection) else None,
                reference_rate=section.reference_rate if isinstance(section, LuckSection) else None,
                horizon=session.options.horizon,
                checks_ids=session.checker.ids(asked.case, session.project.program),
                verdict=section.verdict,
                stop_reason=answer.stopped,
                sample_ids=[j.stored.id for j in runs],
                evidence={**to_json(section), "series": slots(session, asked.case).series},
            )
