"""One question about one case, from the first call to the stored decision and the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reroll.answer import (
    Answer,
    CauseSection,
    CertifySection,
    DudSection,
    LuckSection,
    NotExamined,
    Price,
    Reading,
    Reference,
    to_json,
)
from reroll.balance import LOOK_FIRST
from reroll.case import Case, Report
from reroll.causing import is_wanted, why_it_fails
from reroll.caveats import about_reference, about_runs, about_verdicts, cut_short, why_stopped
from reroll.conclude import (
    Seen,
    agreeing,
    certify_read,
    certify_section,
    luck_read,
    luck_section,
    rate_read,
    sum_of_alphas,
    three_samples,
)
from reroll.controls import Controls
from reroll.dependence import about_old_controls, about_stretches
from reroll.errors import NotCompleted
from reroll.evidence import Evidence
from reroll.fallen import where_it_went_wrong
from reroll.foretold import LOOK, Foretold, foretell, worth_reading
from reroll.helping import for_fixes, what_helps
from reroll.looking import said_by
from reroll.numbers import counts
from reroll.outcomes import Outcomes
from reroll.plan import Plan, next_draws, race_of
from reroll.rolling import can_roll, roll_case
from reroll.runner import run_case
from reroll.runs import Judged, Runs
from reroll.scorecard import Rules
from reroll.scored import Tried, alpha_of, helps_sentence
from reroll.session import Session, slots
from reroll.words import mostly_fail, reply

__all__ = ["Asked", "investigate"]

Question = Literal["luck", "certify"]
# Where neither a reference nor a target is given, the question is whether it works this often (DESIGN.md section 5).
TOLERABLE_SUCCESS = 0.95
SURPRISE_DRAWS = 60  # fresh runs that `surprise` makes, stored ones counted
# Calls that the search for the token may take before the one for the cause; where it takes more it comes last.
FOR_FORKS = 170
NO_REFERENCE = Reference(None, "none")
# With nothing to compare with, the rate itself is the answer, and two runs are none.
RUNS_WITHOUT_REFERENCE = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered: luck stops when bad luck or not is known, certify when the target is.

    forks: whether the token is sought at which a failing run went wrong; cause: whether the cause is; fixes: whether
    changes are suggested and tried; None: where their calls cost nothing. told: is given their price in words before
    they start; margin: the rise on control cases that is harm, where fixes are tried; known: what is not
    known of the reported request, in sentences.
    """

    report: Report
    case: Case
    question: Question = "luck"
    target: float | None = None
    fidelity: Literal["exact", "partly", "messages", "rebuilt"] = "rebuilt"
    forks: bool | None = False
    cause: bool | None = False
    fixes: bool | None = False
    told: Callable[[str], None] = lambda words: None
    margin: float = Rules().margin
    known: tuple[str, ...] = ()


async def investigate(session: Session, asked: Asked, others: Sequence[Session] = ()) -> Answer:
    """The answer to one question about one case; every draw and the decision are stored.

    `others`: a session for each other model that the program names, where the cause may be looked for there.

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

    async def look(outcomes: Outcomes) -> Plan | None:
        """The plan, until so many runs were made that the model's own probabilities may be the shorter way."""
        known = await plan(outcomes)
        enough = len(outcomes) >= LOOK and (controls is None or not controls.pending)
        far = enough and worth_reading(session, asked.case, race_of(known), Evidence.of(outcomes))
        return None if far and next_draws(known, outcomes) else known

    read: Foretold | None = None
    try:
        # Control cases are drawn between batches; without them batches may overlap.
        rolls = (controls is None or controls.closed) and can_roll(session, asked.case)
        go_on = roll_case if rolls else run_case
        runs = await go_on(session, asked.case, look)
        outcomes = runs.words()
        if await look(outcomes) is None and not session.stopped:
            read = await foretell(session, asked.case, race_of(await plan(outcomes)), runs)
            if read is None or read.known is None:
                runs = await go_on(session, asked.case, plan, runs)
    except NotCompleted as error:
        broken = str(error)
        runs = session.runs(asked.case)
    reference = controls.reference() if controls else NO_REFERENCE
    leave = for_fixes(session.left) if asked.fixes else 0
    dud, cause = await _token_and_cause([session, *others], asked, runs, broken, leave)
    if isinstance(cause, CauseSection) and (read is None or read.known is None):
        runs = session.runs(asked.case)  # those that the search for the cause began with tell how often it fails, too
    helps = await what_helps(session, asked.case, runs, cause, asked.fixes and not broken, asked.told, asked.margin)
    found = _verdicts(session, asked, reference, target, runs, read)
    asked = replace(asked, known=(*asked.known, *about_old_controls(controls.have if controls else (), runs)))
    answer = _answer(session, asked, reference, runs, broken, read, found, (cause, dud, helps))
    _keep_decisions(session, asked, answer, runs)
    return answer


async def _token_and_cause(
    sessions: Sequence[Session], asked: Asked, runs: Runs, broken: str, leave: int
) -> tuple[DudSection | NotExamined, CauseSection | NotExamined]:
    """Where a failing run went wrong, and why it fails. leave: calls for what comes after."""
    session, wanted = sessions[0], asked.forks and not broken

    async def led_astray(most: int | None, *, begun: bool = False) -> DudSection | NotExamined:
        return await where_it_went_wrong(session, asked.case, runs, wanted, asked.told, most, begun=begun)

    # The search for the token first, since it rarely takes what it may: the one for the cause has all the rest.
    dud = await led_astray(FOR_FORKS if is_wanted(session, asked.cause) else None)
    cause = await why_it_fails(sessions, asked.case, runs, asked.cause and not broken, asked.told, leave)
    over = session.left - leave
    if isinstance(dud, NotExamined):
        dud = await led_astray(over) if (dud.price.calls or 0) > FOR_FORKS else dud
    elif dud.verdict == "unsure" and over > 0 and not session.fresh:
        # Cut short, it goes on from its own draws; one that had come to its end calls nothing.
        further = await led_astray(over, begun=True)
        dud = further if isinstance(further, DudSection) else dud
    return dud, cause


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


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What the runs show, counted or read from the model's own probabilities, and why no more was drawn."""

    luck: LuckSection
    certify: CertifySection | NotExamined
    asked: str  # the verdict on the question that was asked
    stopped: str
    reading: Reading | None  # where they were read


def _verdicts(
    session: Session,
    asked: Asked,
    reference: Reference,
    target: float | None,
    runs: Runs,
    read: Foretold | None,
) -> _Verdicts:
    options, outcomes = session.options, runs.words()
    luck: LuckSection
    certify: CertifySection | NotExamined
    if read is not None and read.known is not None:
        rate = rate_read(outcomes, read.known, options.alpha)
        luck = luck_read(outcomes, rate, reference, target, options.alpha)
        certify = certify_read(outcomes, rate, target, options.alpha)
        stopped, reading = "what was read from the model's own probabilities decides the question", read.reading
    else:
        luck = luck_section(outcomes, reference, target, options.alpha, options.horizon)
        certify = certify_section(outcomes, target, options.alpha, options.horizon)
        stopped, reading = "", None
    verdict = certify.verdict if asked.question == "certify" and isinstance(certify, CertifySection) else luck.verdict
    plan = plan_for(session, asked, reference, target)
    few = reference.source == "controls" and reference.rate is None and not mostly_fail(reference)
    stopped = stopped or why_stopped(session, plan, outcomes, undecided=verdict == "undecided", few_controls=few)
    return _Verdicts(luck, certify, verdict, stopped, reading)


def _answer(
    session: Session,
    asked: Asked,
    reference: Reference,
    runs: Runs,
    broken: str,
    read: Foretold | None,
    found: _Verdicts,
    reasons: tuple[CauseSection | NotExamined, DudSection | NotExamined, Tried | NotExamined],
) -> Answer:
    cause, dud, helps = reasons
    luck, certify = agreeing(found.luck, found.certify)
    tried = helps if isinstance(helps, Tried) else None
    outcomes, at = runs.words(), slots(session, asked.case)
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
        cause=cause,
        dud=dud,
        surprise=_surprise(session, asked),
        fixes=helps if isinstance(helps, NotExamined) else helps.ranked,
        # Before the cost: a judge may be asked for them about runs that do not count.
        caveats=(
            *(*asked.known, *about_runs(session, [at], [runs])),
            *about_reference(asked.question, reference),
            *about_verdicts(session, at, (luck, certify), asked.question),
            *about_stretches([at], [runs]),
            *about_reading(read),
            *(() if tried is None else tried.caveats),
        ),
        cost=session.spent.cost(),
        text=reply(
            luck,
            certify,
            fresh=bool(session.spent.calls or not runs),
            reading=found.reading,
            dud=dud,
            cause=cause,
            helps="" if tried is None else helps_sentence(tried),
            compared=asked.question == "luck",
        ),
        alpha_total=sum_of_alphas(found.luck, found.certify, dud, cause, 0.0 if tried is None else alpha_of(tried)),
        outcomes=outcomes,
        samples=three_samples(runs.said, outcomes, lambda k: _seen(runs[k])),
        stopped=broken or found.stopped,
        finished=not broken
        and not session.stopped
        and not cut_short(session, found.asked)
        and (tried is None or tried.finished),
        reading=found.reading,
    )


def about_reading(read: Foretold | None) -> Iterator[str]:
    """By which method an answer speaks where runs were not counted alone, and why reading was given up if it was."""
    if read is None:
        return
    calls, instead = counts("call", read.reading.calls), read.reading.runs_instead
    if read.known is None:
        if read.reading.calls or read.why:
            yield f"the model's own probabilities were looked at in {calls} and not used: {read.why}"
        return
    needed = "more runs than the budget allows" if instead is None else f"about {counts('more run', instead)}"
    yield (
        f"by enumeration in {calls}, if the server's probabilities are those that it samples from (checked by "
        f"{counts('run', read.reading.checked)}); {needed} would have been needed without them (--method sampling "
        "counts runs only)"
    )


def _surprise(session: Session, asked: Asked) -> NotExamined:
    """How unlikely the reported completion is: offered, where there is one."""
    if asked.report.sample is not None:
        offer = f"`reroll surprise {asked.report.sample}` says"
    elif asked.report.saw and asked.fidelity != "rebuilt":
        why = "the request is no case of this project; `reroll import` with --into makes one where that can be asked"
        return NotExamined(why, Price(None, None))
    elif asked.report.saw:
        offer = f"`reroll surprise {asked.case.id} --saw FILE`, with what was seen in a file, says"
    else:
        return NotExamined("nobody told what was seen (--saw FILE, or --sample ID)", Price(None, None))
    return NotExamined(offer, session.spent.price(SURPRISE_DRAWS))


def _seen(run: Judged) -> Seen:
    said = run.outcome
    return Seen(run.stored.id, said.outcome, said.reason, said_by(run.stored.sample), said.marks)


def _keep_decisions(session: Session, asked: Asked, answer: Answer, runs: Runs) -> None:
    """One row per verdict, naming the samples, so that each can be replayed and audited."""
    for name, section in (("luck", answer.luck), ("certify", answer.certify)):
        if isinstance(section, LuckSection | CertifySection):
            session.store.add_decision(
                rule=f"{name}/1" if section.rate.method == "sampling" else f"{name}/{section.rate.method}/1",
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
                evidence={
                    **to_json(section),
                    "series": slots(session, asked.case).series,
                    **({} if answer.reading is None else {"reading": to_json(answer.reading)}),
                },
            )
