"""One question about one case, from the first call to the stored decision and the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from reroll.answer import Answer, CertifySection, LuckSection, Reference, to_json
from reroll.balance import LOOK_FIRST
from reroll.case import Case, Report
from reroll.caveats import about_reference, about_runs, about_verdicts, cut_short, why_stopped
from reroll.conclude import NOT_BUILT, Seen, certify_section, luck_section, sum_of_alphas, three_samples
from reroll.controls import Controls
from reroll.errors import NotCompleted
from reroll.looking import said_by
from reroll.outcomes import Outcomes
from reroll.plan import Plan
from reroll.rolling import can_roll, roll_case
from reroll.runner import run_case
from reroll.runs import Judged, Runs
from reroll.session import Session, slots
from reroll.words import reply

__all__ = ["Asked", "investigate"]

Question = Literal["luck", "certify"]
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
    broken = ""

    async def plan(outcomes: Outcomes) -> Plan:
        if controls is None:
            return plan_for(session, asked, NO_REFERENCE, target)
        await controls.draw_for(outcomes, target)
        known = plan_for(session, asked, controls.reference(), target)
        # Before there is a reference, a look at the case: what it does decides how many controls are worth it.
        return replace(known, concurrency=2, at_least=LOOK_FIRST) if controls.pending else known

    try:
        # Control cases are drawn between batches; without them batches may overlap.
        rolls = (controls is None or controls.closed) and can_roll(session, asked.case)
        runs = await (roll_case if rolls else run_case)(session, asked.case, plan)
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
    session: Session, asked: Asked, reference: Reference, target: float | None, runs: Runs, broken: str
) -> Answer:
    options, outcomes, at = session.options, runs.words(), slots(session, asked.case)
    luck = luck_section(outcomes, reference, target, options.alpha, options.horizon)
    certify = certify_section(outcomes, target, options.alpha, options.horizon)
    plan = plan_for(session, asked, reference, target)
    verdict = certify.verdict if asked.question == "certify" and isinstance(certify, CertifySection) else luck.verdict
    program = session.project.program
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
        cost=session.spent.cost(),
        caveats=(
            *about_runs(session, [at], [runs]),
            *about_reference(asked.question, reference),
            *about_verdicts(session, at, (luck, certify)),
        ),
        text=reply(luck, certify, fresh=bool(session.spent.calls or not runs)),
        alpha_total=sum_of_alphas(luck, certify),
        outcomes=outcomes,
        samples=three_samples(runs.said, outcomes, lambda k: _seen(runs[k])),
        stopped=broken or why_stopped(session, plan, outcomes, undecided=verdict == "undecided"),
        finished=not broken and not session.stopped and not cut_short(session, verdict),
    )


def _seen(run: Judged) -> Seen:
    said = run.outcome
    return Seen(run.stored.id, said.outcome, said.reason, said_by(run.stored.sample), said.marks)


def _keep_decisions(session: Session, asked: Asked, answer: Answer, runs: Runs) -> None:
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
                seqs=runs.seqs,
                evidence={**to_json(section), "series": slots(session, asked.case).series},
            )
