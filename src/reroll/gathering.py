"""Fixes to try that nobody named: suggested, written by a model, or evolved; asked again, the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reroll.answer import CauseSection, to_json
from reroll.case import Case
from reroll.errors import ModelError
from reroll.evidence import Est
from reroll.evolving import evolve, reflecting_with
from reroll.fix import Fix
from reroll.numbers import counts
from reroll.program import content_id
from reroll.proposing import ask_for_changes, change_task, writer_of, writing
from reroll.reworded import Dropped
from reroll.runner import draw_more
from reroll.session import Session, slots
from reroll.suggest import Suggestion
from reroll.suggesting import Seen, cause_known, seen_of, suggested

__all__ = ["MOST", "SUGGESTED", "USUAL", "Gathered", "Wanted", "gather"]

SUGGESTED = "suggested/1"
USUAL = 5  # fixes that are suggested where nobody says how many
MOST = 16  # that may be asked for
FAILING = 3  # failing runs of the case that suggestions are made from, at least
FEW, MOST_RUNS = 12, 48  # runs of the case that are made until there are as many
OTHERS = 6  # other cases that one run each is made of, so that a right answer of theirs can be an example
EVOLVING = 0.3  # of the budget that is left


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many fixes reroll is to suggest, how many a model is to write, which one (None: the program's own), and
    whether GEPA is to evolve some."""

    suggest: int = 0
    write: int = 0
    model: str | None = None
    gepa: bool = False

    def __bool__(self) -> bool:
        return bool(self.suggest or self.write or self.gepa)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to try, each once. dropped: what a model proposed that cannot be used; said: what a reader must
    know besides, such as why nothing was suggested."""

    suggestions: tuple[Suggestion, ...]
    dropped: tuple[Dropped, ...] = ()
    said: tuple[str, ...] = ()


async def gather(
    session: Session,
    case: Case,
    choosing: Sequence[Case],
    control: Sequence[Case],
    wanted: Wanted,
    cause: CauseSection | None = None,
) -> Gathered:
    """Fixes worth trying on a case. They are kept: the same question about the same cause gets the same fixes, so that
    a trial of them goes on where it was; `--fresh` asks anew.

    Args:    choosing: the half of its neighbours that fixes are chosen by, never the sealed one; cause: what was found
             just now; default: the newest one that is known.
    Raises:  UsageError, ModelError, NotCompleted: as drawing does.
    """
    cause = cause or cause_known(session, case)
    key = _key(session, case, wanted, cause)
    known = None if session.fresh else _kept(session, key)
    if known is not None:
        return _cut(known, wanted.suggest)
    seen = await _seen(session, case)
    found: list[Suggestion] = []
    dropped: list[Dropped] = []
    said: list[str] = []
    own: tuple[Suggestion, ...] = ()
    if wanted.suggest:
        others = [*choosing, *control]
        await _run_others(session, others)
        own = suggested(session, case, others, cause, MOST)
        said += [] if own else [_why_none(case, seen, cause)]
    asked = not wanted.write or await _written(session, case, seen, wanted, found, dropped, said)
    if wanted.gepa:
        asked = await _evolved(session, case, choosing, wanted, found, dropped, said) and asked
    whole = Gathered(_apart([*own, *found]), tuple(dropped), tuple(said))
    if whole.suggestions and asked and not session.stopped:
        _keep(session, case, key, whole, len(own))
    return _cut((whole, len(own)), wanted.suggest)


# ---------------------------------------------------------------- runs to suggest from


async def _seen(session: Session, case: Case) -> Seen:
    """The case's runs; where few of those that are stored failed, some more are made: ordinary runs of the case."""
    session.store.put_program(session.project.program)
    session.store.put_case(case)
    # A declared end is binding, whoever draws.
    at = slots(session, case, series=None if session.options.horizon is None else "suggest")
    seen = seen_of(session, case)
    while len(seen.failing) < FAILING and len(seen.failing) + len(seen.passing) < MOST_RUNS and not session.stopped:
        if session.left < FEW or session.spent.out_of_time():
            break
        before = session.made
        await draw_more(session, [at], FEW)
        seen = seen_of(session, case)
        if session.made == before:
            break
    return seen


async def _run_others(session: Session, others: Sequence[Case]) -> None:
    """One run of the first few other cases that were never run."""
    at = []
    for case in others[:OTHERS]:
        session.store.put_case(case)
        seen = seen_of(session, case)
        if not seen.passing and not seen.failing:
            at.append(slots(session, case, control=case.set == "control"))
    if at and session.left > len(at) and not session.stopped:
        await draw_more(session, at, 1)


def _why_none(case: Case, seen: Seen, cause: CauseSection | None) -> str:
    if cause is not None and cause.verdict == "checker":
        return f"the check of case `{case.id}` was found at fault, so no change of the program is suggested"
    if cause is not None and cause.verdict == "not_reproduced":
        return f"the failure of case `{case.id}` did not come back, so no change of the program is suggested"
    if not seen.failing:
        n = counts("run", len(seen.passing))
        return f"case `{case.id}` failed in none of {n}, so there is nothing to suggest a change from"
    return f"nothing that is known of case `{case.id}` suggests a change; `reroll cause {case.id}` may find what does"


# ---------------------------------------------------------------- what a model proposes


async def _written(
    session: Session,
    case: Case,
    seen: Seen,
    wanted: Wanted,
    found: list[Suggestion],
    dropped: list[Dropped],
    said: list[str],
) -> bool:
    """Add what a model wrote, and what of it is no use. Whether it could be asked."""
    if not seen.failing:
        said.append(
            f"no failing run of case `{case.id}` is there to be shown to a model, so none was asked for changes"
        )
        return False
    task = change_task(session.project, case, seen.failing[0], wanted.write, wanted.model)
    try:
        async with writing(session, task.project.program) as writer:
            proposed = await ask_for_changes(writer, task)
    except ModelError as problem:
        said.append(f"{task.project.program.model} could not be asked for changes: {problem}")
        return False
    found += proposed.suggestions
    dropped += proposed.dropped
    if len(proposed.suggestions) < wanted.write:
        usable = counts("change", len(proposed.suggestions))
        said.append(f"{proposed.model} wrote {usable} that can be used, of {wanted.write} that were asked for")
    return True


async def _evolved(
    session: Session,
    case: Case,
    choosing: Sequence[Case],
    wanted: Wanted,
    found: list[Suggestion],
    dropped: list[Dropped],
    said: list[str],
) -> bool:
    """Add what GEPA evolved: it reflects on the case and some neighbours, and chooses on others of the same half.
    Whether the model that writes could be asked."""
    half = len(choosing) // 2
    train, val = [case, *choosing[:half]], choosing[half:]
    program = writer_of(session.project, wanted.model)
    async with writing(session, program) as writer:
        calls = int(session.left * EVOLVING)
        evolved = await evolve(session, train, val, reflecting_with(writer), calls, session.options.seed or 0)
    # Each further one takes its share of the calls for choosing: beyond a few, none would be told from another.
    found += evolved.suggestions[:USUAL]
    if len(evolved.suggestions) > USUAL:
        said.append(f"GEPA wrote {len(evolved.suggestions)} wordings; the {USUAL} of its best candidates are tried")
    dropped += [Dropped("", one.said, one.why) for one in evolved.dropped]
    if evolved.silent:
        said.append(f"{program.model} was asked for wordings and brought nothing back: {evolved.silent}")
    elif not evolved.suggestions and not evolved.dropped:
        said.append("GEPA found no wording that did better on the cases that it chooses by")
    return bool(evolved.suggestions or not evolved.silent)


# ---------------------------------------------------------------- the same ones again


def _apart(found: Sequence[Suggestion]) -> tuple[Suggestion, ...]:
    """Each fix once, under a name of its own."""
    out: list[Suggestion] = []
    for one in found:
        if one.fix.id in {other.fix.id for other in out}:
            continue
        taken = {other.fix.fix for other in out}
        name, k = one.fix.fix, 2
        while name in taken:
            name, k = f"{one.fix.fix}-{k}", k + 1
        out.append(Suggestion(one.fix.model_copy(update={"fix": name}), one.because, one.predicted))
    return tuple(out)


def _cut(known: tuple[Gathered, int], most: int) -> Gathered:
    """Of those that reroll suggested by itself only so many."""
    whole, own = known
    kept = (*whole.suggestions[: min(own, most)], *whole.suggestions[own:])
    return Gathered(kept, whole.dropped, whole.said)


def _key(session: Session, case: Case, wanted: Wanted, cause: CauseSection | None) -> str:
    named = None if cause is None else [cause.verdict, [[one.id, one.words] for one in cause.factors]]
    return content_id(
        "suggested",
        [
            [session.project.program.id, session.model.identity, case.content_id],
            session.checker.ids(case, session.judging),
            [bool(wanted.suggest), wanted.write, wanted.model, wanted.gepa],
            named,
        ],
    )


def _keep(session: Session, case: Case, key: str, whole: Gathered, own: int) -> None:
    session.store.add_decision(
        rule=SUGGESTED,
        question="suggested",
        case_id=case.id,
        program_id=session.project.program.id,
        checks_ids=session.checker.ids(case, session.judging),
        verdict="suggested",
        evidence={
            "key": key,
            "own": own,
            "fixes": [
                {
                    "fix": one.fix.model_dump(mode="json"),
                    "because": one.because,
                    "predicted": None if one.predicted is None else to_json(one.predicted),
                }
                for one in whole.suggestions
            ],
            "dropped": to_json(whole.dropped),
            "said": list(whole.said),
        },
    )


def _kept(session: Session, key: str) -> tuple[Gathered, int] | None:
    for decision in reversed(session.store.decisions(rule=SUGGESTED, program_id=session.project.program.id)):
        said = decision.evidence
        if said.get("key") == key:
            fixes = [
                Suggestion(
                    Fix.model_validate(one["fix"]),
                    one["because"],
                    None if one["predicted"] is None else Est(**one["predicted"]),
                )
                for one in said["fixes"]
            ]
            dropped = tuple(Dropped(**one) for one in said["dropped"])
            return Gathered(tuple(fixes), dropped, tuple(said["said"])), int(said["own"])
    return None
