"""Fixes tried: several are told apart on half of the neighbours, and the best is measured anew on the other half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reroll.answer import OutcomeWord, ProgressEvent
from reroll.best import best_of
from reroll.case import Case
from reroll.errors import ModelError, NotCompleted
from reroll.fix import Fix
from reroll.in_reach import USUAL, affordable, out_of_reach
from reroll.numbers import counts
from reroll.reduction import Pairs
from reroll.scorecard import (
    ClaimState,
    ClaimWord,
    Rules,
    SetWord,
    claim_states,
    expected,
    next_pairs,
    verdict_of,
)
from reroll.session import Session, too_dear
from reroll.trial import RATES, Trial

__all__ = ["Asked", "Course", "Sets", "Status", "may_go_on", "price_of", "try_fixes"]

CHOOSE: tuple[ClaimWord, ...] = ("cures", "helps", "generalises")
INDIFFERENT = 0.05  # of a failure rate: of two fixes nearer than this the one that was named first is taken
FOR_CHOOSING = 0.4  # of the budget, at most
ROUND = 8
# Calls in which special cases are mostly rejected where the case fails half of the time (benchmarks/fixes.py): one that
# shares the completion, and one whose pairs are two draws each.
REJECT_PATCH, REJECT_LEVER = 150, 500


@dataclass(frozen=True, slots=True)
class Sets:
    """The cases of a trial. choosing and neighbour: the two halves of the neighbours; neighbour is the sealed one.
    idle: cases that would belong here, and have no checks to tell a right answer by."""

    case: tuple[Case, ...]
    choosing: tuple[Case, ...]
    neighbour: tuple[Case, ...]
    lookalike: tuple[Case, ...]
    control: tuple[Case, ...]
    idle: tuple[Case, ...] = ()

    @property
    def there(self) -> tuple[SetWord, ...]:
        known: dict[SetWord, tuple[Case, ...]] = {
            "case": self.case,
            "neighbour": self.neighbour,
            "lookalike": self.lookalike,
            "control": self.control,
        }
        return tuple(name for name, cases in known.items() if cases)

    @property
    def all(self) -> tuple[Case, ...]:
        return (*self.case, *self.choosing, *self.neighbour, *self.lookalike, *self.control)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: the sets, the rules, and the fixes with their sessions, the baseline's apart.

    Of several fixes a good one may be refuted in either phase: their rules share alpha among both, in the course of the
    trial and on the scorecard alike.
    """

    sets: Sets
    rules: Rules
    baseline: Session
    fixed: Sequence[tuple[str, Fix, Session]]

    def __post_init__(self) -> None:
        if len(self.fixed) > 1:
            object.__setattr__(self, "rules", replace(self.rules, phases=2))


@dataclass(slots=True)
class Status:
    """How far one fix came. phase: `choosing` (one half of the neighbours) or `final` (the sealed half, anew).

    beaten_by: another fix that did better, or as well, on the half for choosing; then it was not taken further.
    """

    name: str
    trial: Trial
    phase: str
    states: dict[ClaimWord, ClaimState]
    beaten_by: str | None = None
    alike: tuple[str, ...] = ()

    def pairs(self) -> dict[SetWord, Pairs]:
        """By set of the scorecard; in the phase for choosing the neighbours are those of that half."""
        return _pairs(self.trial, self.name, self.phase)


@dataclass(slots=True)
class Course:
    """What came of it all."""

    fixes: dict[str, Status]
    choosing: Trial | None
    best: str | None
    stopped: str = ""
    finished: bool = True
    trials: list[Trial] = field(default_factory=list)
    choosing_ended: bool = False  # all calls for choosing are used, whether or not a choice was made


async def try_fixes(asked: Asked) -> Course:
    """Draw until every fix is judged, or the budget, the time or a person ends it; the same command goes on later.

    Raises: ModelError where the model never answers; UsageError for a check that always crashes.
    """
    course = Course({}, None, None)
    try:
        best = await _chosen(asked, course) if len(asked.fixed) > 1 else asked.fixed[0][0]
        if best is not None:
            await _measured(asked, course, best)
            course.best = best
    except NotCompleted as error:
        course.stopped, course.finished = str(error), False
        for trial in course.trials:
            trial.refresh()
        if not any(len(trial.rounds("case", ["baseline"])) for trial in course.trials):
            raise ModelError(str(error), slug="model-no-answer") from None
    if any(s.stopped for s in (asked.baseline, *(s for _, _, s in asked.fixed))):
        course.stopped, course.finished = "stopped; the same command goes on from here", False
    elif asked.baseline.spent.cut_short:
        course.stopped, course.finished = "the time is up; the same command goes on from here", False
    return course


# ---------------------------------------------------------------- several: which is worth measuring


async def _chosen(asked: Asked, course: Course) -> str | None:
    """The fix that does best on the half for choosing, of those that help; None where none is left or calls ran out."""
    sets = {"case": asked.sets.case, "choosing": asked.sets.choosing, "lookalike": asked.sets.lookalike}
    trial = course.choosing = Trial(asked.baseline, asked.fixed, sets, "choosing")
    course.trials.append(trial)
    _reused(asked, trial)
    course.fixes = {name: _status(asked, trial, name, "choosing") for name, _, _ in asked.fixed}
    limit = _left(asked) * FOR_CHOOSING
    used = _used(asked)
    while True:
        states = {name: status.states for name, status in course.fixes.items()}
        running = [name for name in states if not _refuted(states[name])]
        open_now = [name for name in running if any(states[name][claim] == "open" for claim in CHOOSE)]
        promising = [name for name in running if name not in open_now]
        best = _best(trial, promising, asked.rules)
        if not running or (not open_now and best is not None):
            break
        units = _next_units(trial, open_now or promising, states)
        _tell(asked, trial, f"which of {len(running)} fixes helps?")
        course.choosing_ended = _used(asked) - used >= limit
        if course.choosing_ended or not may_go_on(asked, course, trial.calls_for(units, running)):
            break
        await trial.draw(units, running)
        for name in running:
            course.fixes[name] = _status(asked, trial, name, "choosing")
    states = {name: status.states for name, status in course.fixes.items()}
    promising = [n for n in states if not _refuted(states[n]) and all(states[n][c] == "shown" for c in CHOOSE)]
    best = _best(trial, promising, asked.rules) or _leading(trial, promising)
    if best is None and course.choosing_ended:
        # Nothing is shown yet, and the calls for choosing are used: the likeliest one gets those that are left.
        best = _leading(trial, [name for name in states if not _refuted(states[name])], better=True)
    for name in promising:
        if name != best:
            course.fixes[name].beaten_by = best
    return best


def _best(trial: Trial, names: Sequence[str], rules: Rules) -> str | None:
    """The one that is shown to be best, or as good as any, of these; the only one; None while that is open."""
    if len(names) < 2:
        return names[0] if names else None
    rounds: list[dict[str, OutcomeWord]] = [
        {name: found[name] for name in names}  # type: ignore[misc]
        for found in trial.rounds("choosing", ["baseline", *names])
    ]
    return best_of(rounds, rules.alpha, INDIFFERENT).best if rounds else None


def _leading(trial: Trial, names: Sequence[str], *, better: bool = False) -> str | None:
    """Where calls for choosing ran out: the one that failed least often; with `better`, if less than as it is."""
    rounds = trial.rounds("choosing", ["baseline", *names]) if names else []
    failed = {name: sum(found[name] == "fail" for found in rounds) for name in (*names, "baseline")} if names else {}
    best = min(names, key=lambda name: failed[name], default=None)
    return best if best is None or not better or failed[best] < failed["baseline"] else None


def _next_units(
    trial: Trial, names: Sequence[str], states: Mapping[str, Mapping[ClaimWord, ClaimState]]
) -> dict[str, int]:
    """How many units there should be of each set, for the one of these fixes that asks for most."""
    wanted: dict[str, int] = {}
    for name in names:
        pairs = _pairs(trial, name, "choosing")
        limited: dict[ClaimWord, ClaimState] = {**states[name], "spares_control": "not_examined"}
        more = next_pairs(pairs, limited) or {"neighbour": max(ROUND, pairs["neighbour"].n // ROUND)}
        for of, n in more.items():
            at = "choosing" if of == "neighbour" else of
            if trial.sets.get(at) and (at in RATES or at not in trial.alike(name)):
                wanted[at] = max(wanted.get(at, 0), pairs[of].n + n)
    return wanted


# ---------------------------------------------------------------- one: its scorecard


async def _measured(asked: Asked, course: Course, name: str) -> None:
    """The scorecard of one fix on runs that no choice was made on."""
    sets = asked.sets
    of = {"case": sets.case, "neighbour": sets.neighbour, "lookalike": sets.lookalike, "control": sets.control}
    one = [(n, fix, session) for n, fix, session in asked.fixed if n == name]
    trial = Trial(asked.baseline, one, of, "final")
    course.trials.append(trial)
    _reused(asked, trial)
    while True:
        status = course.fixes[name] = _status(asked, trial, name, "final")
        pairs = status.pairs()
        asks = next_pairs(pairs, status.states)
        more = {s: n for s, n in asks.items() if of[s] and (s in RATES or s not in status.alike)}
        _tell(asked, trial, f"does {name} help, and harm nobody?")
        if not more:
            return
        each = 1 if trial.variant(name).shared else 2
        if out_of_reach(pairs, asked.rules, status.states, _left(asked), each):
            course.stopped = "what is left of the budget would not decide, so it is not spent"
            return

        def units_of(wanted: Mapping[SetWord, int], have: Mapping[SetWord, Pairs] = pairs) -> dict[str, int]:
            return {s: have[s].n + n for s, n in wanted.items()}

        units = units_of(affordable(more, lambda m: trial.calls_for(units_of(m), [name]), _left(asked)))
        if not may_go_on(asked, course, trial.calls_for(units or units_of(more), [name])):
            return
        await trial.draw(units, [name])


def _status(asked: Asked, trial: Trial, name: str, phase: str) -> Status:
    half = {"choosing": "neighbour"}
    alike = tuple(half.get(of, of) for of in trial.alike(name))
    pairs = _pairs(trial, name, phase)
    there: tuple[SetWord, ...] = asked.sets.there
    rules = asked.rules
    if phase == "choosing":  # what is chosen here is measured anew, so that no least number of pairs is needed
        there, rules = tuple(s for s in there if s != "control"), replace(rules, fewest=0)
    states = claim_states(pairs, rules, there, alike)
    return Status(name, trial, phase, states, alike=alike)


def _pairs(trial: Trial, name: str, phase: str) -> dict[SetWord, Pairs]:
    names: dict[SetWord, str] = {"case": "case", "lookalike": "lookalike", "control": "control"}
    names["neighbour"] = "choosing" if phase == "choosing" else "neighbour"
    return {of: trial.pairs(name, at) if at in trial.sets else Pairs() for of, at in names.items()}


def _refuted(states: Mapping[ClaimWord, ClaimState]) -> bool:
    return verdict_of(states) == "reject"


# ---------------------------------------------------------------- what may be spent


def _used(asked: Asked) -> int:
    return asked.baseline.spent.calls + asked.baseline.spent.control_calls


def _left(asked: Asked) -> int:
    """Calls that the budget still allows: a run that takes the baseline's completion is none."""
    return asked.baseline.options.budget - _used(asked)


def may_go_on(asked: Asked, course: Course, calls: int) -> bool:
    """Whether so many more calls may be made; if not, why is written down."""
    sessions = (asked.baseline, *(s for _, _, s in asked.fixed))
    if any(s.stopped for s in sessions):
        return False
    if calls > _left(asked):
        course.stopped = _budget_words(asked, calls)
        return False
    if any(too_dear(s) for s in sessions):
        course.stopped = "the limit on money is reached"
        return False
    if any(s.exhausted for trial in course.trials for s in (v.session for v in trial.all)):
        course.stopped = "the recording is at its end"
        return False
    return not asked.baseline.spent.out_of_time()


def _budget_words(asked: Asked, calls: int) -> str:
    """That the next runs are not paid for, and how few calls were too few where none was made."""
    budget = counts("call", asked.baseline.options.budget)
    if _used(asked):
        return f"the budget of {budget} is used"
    return f"the next runs may take {counts('call', calls)}, and the budget is {budget}, so none was made"


def _reused(asked: Asked, trial: Trial) -> None:
    asked.baseline.spent.reused += sum(len(runs) for v in trial.all for all_of in v.runs.values() for runs in all_of)


def _tell(asked: Asked, trial: Trial, what: str) -> None:
    """Where it stands: calls of all programs together. How often the case fails as it is has its own denominator."""
    words = [word for runs in trial.baseline.runs["case"] for word in runs.words()]
    spent = asked.baseline.spent
    asked.baseline.notify(
        ProgressEvent(
            phase="case",
            case_id=asked.sets.case[0].id,
            calls=_used(asked),
            budget=asked.baseline.options.budget,
            failures=None,
            invalid=0,
            estimate=None,
            low=0.0,
            high=1.0,
            doing=f"as it is {words.count('fail')} of {counts('run', len(words))} failed" if words else "",
            question=what,
            usd=spent.usd,
            seconds=spent.seconds,
        )
    )


def price_of(sets: Sets, rules: Rules, fixes: int = 1, *, shared: bool = False) -> tuple[int, int]:
    """About how many calls it takes to reject a special case, and to accept one of so many fixes that harms nobody.

    Reckoned for a case that fails half of the time and a fix that takes away most of it; said before the first call.
    shared: whether all of them only look at what the model answered anyway.
    """
    few = {"case": 32, "neighbour": 64, "lookalike": 32 if sets.lookalike else 0}
    accept = sum(few.values())
    bounded: tuple[SetWord, ...] = ("lookalike", "control")
    for of in bounded:
        if of in sets.there:
            accept += _pairs_to_bound(of, rules)
    extra = sum(few.values()) * (fixes - 1)
    each = 1 if shared else 2
    return REJECT_PATCH if shared else REJECT_LEVER, accept * each + extra


def _pairs_to_bound(of: SetWord, rules: Rules) -> int:
    """Pairs until a harm of the margin is ruled out where there is none."""
    before, after = USUAL[of]
    n = 16
    while (
        claim_states({of: expected(n, before, after)}, rules)[
            "spares_control" if of == "control" else "spares_lookalikes"
        ]
        != "shown"
    ):
        n = int(n * 1.2)
    return n
