"""From a trial to its answer: the scorecard of every fix with what it costs, and the decision that is kept."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.answer import to_json
from reroll.case import Case
from reroll.caveats import about_missing
from reroll.conclude import rate_of
from reroll.copying import copies
from reroll.dependence import about_later_tries
from reroll.evidence import Est
from reroll.fix import Fix
from reroll.grouping import Facts, facts_of
from reroll.in_reach import nearest_end
from reroll.ledger import TRIED
from reroll.levers import diff
from reroll.numbers import counts
from reroll.paired import difference_interval
from reroll.reduction import Pairs
from reroll.runs import Runs
from reroll.scorecard import (
    SETS,
    FixVerdict,
    Rules,
    Scored,
    SetWord,
    net_effect,
    score,
)
from reroll.scored import Card, NewFailure, SetShown, Tried, TryPrice, Worth
from reroll.session import Session
from reroll.step_record import taken
from reroll.trial import Trial, Variant
from reroll.trying import Asked, Course, Status

__all__ = ["concluded", "in_sight", "remember_fixes"]

LOOKED_AT = 200  # runs of each set that are read whole for tokens, times and kinds of failure
OUT_OF_SIGHT = 100_000  # calls; by then something else has changed
MOSTLY = 0.5  # requests that fail more often than this cannot show much harm
TWICE = 2  # a kind of failure that came once may be anything


def concluded(asked: Asked, course: Course, price: TryPrice, pile_up: Mapping[str, tuple[Worth, ...]]) -> Tried:
    """The answer to a trial as far as it came."""
    session = asked.baseline
    cards = tuple(_card(asked, course.fixes[name], fix, s, pile_up.get(name, ())) for name, fix, s in asked.fixed)
    return Tried(
        case=asked.sets.case[0].id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        fixes=cards,
        best=course.best,
        margin=asked.rules.margin,
        lookalike_margin=asked.rules.lookalike_margin,
        alpha=asked.rules.alpha,
        price=price,
        cost=session.spent.cost(),
        caveats=tuple(_caveats(asked, cards, course.trials)),
        finished=course.finished,
        stopped=course.stopped,
    )


def _card(asked: Asked, status: Status, fix: Fix, session: Session, pile_up: tuple[Worth, ...]) -> Card:
    rules, trial = asked.rules, status.trial
    pairs = status.pairs()
    there: tuple[SetWord, ...] = asked.sets.there
    if status.phase == "choosing":
        there = tuple(s for s in there if s != "control")
    scored = score(pairs, rules, there, status.alike)
    verdict: FixVerdict = scored.verdict
    blind = "control" not in status.alike and _mostly_fails(pairs["control"])
    if verdict == "accept" and (status.phase == "choosing" or blind):
        verdict = "undecided"
    before, variant = asked.baseline.project.program, trial.variant(status.name)
    half = "choosing" if status.phase == "choosing" else "neighbour"
    shown = {of: _shown(trial, variant, at, rules.alpha) for of, at in (*((s, s) for s in SETS), ("neighbour", half))}
    case, neighbours = shown["case"], shown["neighbour"]
    assert case is not None
    assert neighbours is not None
    prevalence = before.prevalence
    burden = _burden(trial, variant)
    stopped, stopped_right = trial.withheld(variant)
    broke, broke_on = trial.broken(variant)
    return Card(
        id=fix.id,
        fix=fix.fix,
        kind=fix.kind,
        author=fix.author,
        verdict=verdict,
        reasons=tuple(scored.reasons),
        phase=status.phase,
        claims={word: claim.state for word, claim in scored.claims.items()},
        diff=diff(before, session.project.program),
        case=case,
        neighbours=neighbours,
        lookalikes=shown["lookalike"],
        control=shown["control"],
        case_gain=scored.case_gain,
        neighbour_gain=scored.neighbour_gain,
        generalisation=scored.generalisation,
        lookalike_harm=scored.lookalike_harm,
        control_harm=scored.control_harm,
        new_failures=tuple(_new_failures(trial, variant)),
        net=None
        if prevalence is None
        else net_effect(_points(pairs["neighbour"], rules), scored.control_harm, prevalence),
        literals=tuple(copies(fix, asked.sets.case[0], before.system_text())),
        branches=sum("when" in step for step in session.project.program.steps) - sum("when" in s for s in before.steps),
        tokens=burden.tokens,
        extra_calls=burden.calls,
        seconds=burden.seconds,
        usd=burden.usd,
        stopped=stopped,
        stopped_right=stopped_right,
        needed=None if blind else _needed(pairs, rules, scored, verdict, variant),
        beaten_by=status.beaten_by,
        alike=status.alike,
        pile_up=pile_up,
        margin=rules.margin,
        broke=broke,
        broke_on=broke_on,
        prompt_tokens=burden.prompt_tokens,
    )


def _points(pairs: Pairs, rules: Rules) -> Est:
    """By how much (not by what share) the failure rate falls; both limits hold at every look."""
    if not pairs.n:
        return Est(None, -1.0, 1.0, 0)
    low, high = difference_interval(pairs.harsh[2], pairs.harsh[1], pairs.n, rules.alpha)
    before, after = pairs.before, pairs.after
    return Est(None if before is None or after is None else before - after, -high, -low, pairs.n)


def _shown(trial: Trial, variant: Variant, of: str, alpha: float) -> SetShown | None:
    if not trial.sets.get(of):
        return None
    rounds = trial.rounds(of, ["baseline", variant.name], real=True)
    before: list[Any] = [found["baseline"] for found in rounds]
    after: list[Any] = [found[variant.name] for found in rounds]
    return SetShown(rate_of(before, alpha), rate_of(after, alpha), trial.pairs(variant.name, of).n, len(trial.sets[of]))


def _needed(
    pairs: Mapping[SetWord, Pairs],
    rules: Rules,
    scored: Scored,
    verdict: FixVerdict,
    variant: Variant,
) -> int | None:
    """Further calls until it can be accepted, or rejected as no help, whichever is nearer; 0 with a verdict."""
    if verdict != "undecided":
        return 0
    end = nearest_end(pairs, rules, scored.open)
    return None if end is None else in_sight(end * (1 if variant.shared else 2))


def in_sight(calls: int) -> int | None:
    """As many calls as somebody might still make; None where a forecast would only say that there is no end in sight.

    >>> in_sight(2_394), in_sight(1_269_924)
    (2394, None)
    """
    return calls if calls <= OUT_OF_SIGHT else None


# ---------------------------------------------------------------- what it costs


@dataclass(frozen=True, slots=True)
class _Burden:
    """Per request, after minus before. None: not known."""

    tokens: float | None
    calls: float
    seconds: float | None
    usd: float | None
    prompt_tokens: float | None


def _burden(trial: Trial, variant: Variant) -> _Burden:
    """What a request takes more with the fix, on the first runs of every set that was run."""
    after = [one for of in trial.sets for runs in variant.runs[of] for one in runs.first(LOOKED_AT)]
    before = [one for of in trial.sets for runs in trial.baseline.runs[of] for one in runs.first(LOOKED_AT)]
    if not after or not before:
        return _Burden(None, 0.0, None, None, None)

    stepped = bool(variant.program.steps)
    calls = _calls(variant) if stepped else 1.0
    alone = 1 - trial.shared_part(variant)  # the part of its runs that took a call of their own
    calls_before = alone * (_calls(trial.baseline) if trial.baseline.program.steps else 1.0)

    def mean(runs: Sequence[Any], of: Callable[[Any], float | None]) -> float | None:
        known = [of(one.stored.sample) for one in runs]
        return None if None in known or not known else statistics.fmean(v for v in known if v is not None)

    def more(of: Callable[[Any], float | None]) -> float | None:
        now, was = mean(after, of), mean(before, of)
        return None if now is None or was is None else now - alone * was

    def tokens(sample: Any) -> float | None:
        usage = sample.usage
        both = (usage.prompt_tokens, usage.completion_tokens)
        return None if None in both else float(sum(both))

    return _Burden(
        more(tokens),
        calls - calls_before,
        more(lambda sample: float(sum(a.seconds for a in sample.attempts))),
        more(lambda sample: sample.usage.usd),
        more(lambda sample: sample.usage.prompt_tokens),
    )


def _calls(variant: Variant) -> float:
    """Calls that a run took on average, out of what is kept of each; those that were shared are none."""
    seqs = [seq for all_of in variant.runs.values() for runs in all_of for seq in runs.first(LOOKED_AT).seqs]
    found = [taken(one.sample) for one in variant.session.store.of_seqs(seqs, payload=True)]
    return statistics.fmean(1 if took is None else took.calls for took in found) if found else 0.0


# ---------------------------------------------------------------- failures that were not there before


def _new_failures(trial: Trial, variant: Variant) -> list[NewFailure]:
    """Kinds of failure, by observed facts, that came at least twice with the fix and never without it."""
    old: Counter[Facts] = Counter()
    for runs in (runs for of in trial.sets for runs in trial.baseline.runs[of]):
        old.update(facts for facts, _ in _facts(runs))
    out = []
    for of in trial.sets:
        new: Counter[Facts] = Counter()
        first: dict[Facts, str] = {}
        n = 0
        for runs in variant.runs[of]:
            n += len(runs)
            for facts, sample in _facts(runs):
                if facts.ended == "blocked":
                    continue
                new[facts] += 1
                first.setdefault(facts, sample)
        out += [
            NewFailure(of, _words_of(facts), count, n, first[facts])
            for facts, count in new.most_common()
            if count >= TWICE and facts not in old and facts.outcome == "fail"
        ]
    return out[:5]


def _facts(runs: Runs) -> list[tuple[Facts, str]]:
    if not {"fail", "invalid"} & set(runs.words()):
        return []
    found = [(facts_of(one.stored.sample, one.each), one.stored.id) for one in runs.first(LOOKED_AT)]
    return [(facts, id) for facts, id in found if facts is not None]


def _words_of(facts: Facts) -> str:
    checks = "; ".join(f"{name}: {reason}" for name, reason in facts.checks[:2])
    return checks or facts.error or facts.ended or "failed"


# ---------------------------------------------------------------- caveats and memory


def _caveats(asked: Asked, cards: Sequence[Card], trials: Sequence[Trial]) -> list[str]:
    sets, rules = asked.sets, asked.rules
    said = _missing(trials)
    if len(sets.neighbour) < 5:
        held = "one neighbour is" if len(sets.neighbour) == 1 else f"{len(sets.neighbour)} neighbours are"
        said.append(
            f"only {held} held out, so what is said of others like it rests on few; `reroll neighbours` makes more"
        )
    if sets.idle:
        said.append(_idle_words(sets.idle))
    if not sets.lookalike:
        said.append("the case has no look-alikes, so nothing is known about requests that only look like it")
    if not sets.control:
        said.append("the project has no control cases, so nothing is known about harm elsewhere")
    elif len(sets.control) < (least := _inputs_for(rules)):
        said.append(
            f"harm elsewhere is measured on {len(sets.control)} control cases and holds for those; "
            f"to say it of traffic of any kind takes about {least} different ones"
        )
    if any(card.control and (card.control.before.estimate or 0.0) > MOSTLY for card in cards):
        said.append(
            "most runs of ordinary requests fail without it, too, so harm could hardly be seen there: none is accepted "
            "until control cases work (`reroll rerun CASE` says how one fares)"
        )
    if any(card.stopped for card in cards):
        said.append(
            "a request whose answer is withheld gets none, which is no right answer; where it is one, let the case's "
            "checks say so (`any: [..., contains: ...]`)"
        )
    if again := _tried_before(asked):
        said.append(
            f"{counts('fix', again)} had been tried on this case before; the best of many tries looks better than it "
            "is, and each has this chance of error of its own; one that was written after looking at how those did on "
            "the held-out neighbours was fitted to them, and new ones (`reroll neighbours`) would tell"
        )
    if anew := _tried_anew(asked, trials):
        said.append(
            f"this was tried {counts('time', anew)} before on this case, from zero each time: each trial has this "
            "chance of error of its own"
        )
    return said


def _mostly_fails(pairs: Pairs) -> bool:
    return pairs.before is not None and pairs.before > MOSTLY


def _missing(trials: Sequence[Trial]) -> list[str]:
    """What was drawn, or begun, and stands in no pair; by variant, where it is not the same of all."""
    of: dict[str, list[str]] = {}
    for trial in trials:
        for variant in trial.all:
            places = [at for places in variant.places.values() for at in places]
            for note in (*about_missing(variant.session, places), *about_later_tries(variant.session, places)):
                of.setdefault(note, []).append(variant.name)
    everyone = {variant.name for trial in trials for variant in trial.all}
    return [
        note if set(whose) == everyone else f"{', '.join(dict.fromkeys(whose))}: {note}" for note, whose in of.items()
    ]


def _tried_anew(asked: Asked, trials: Sequence[Trial]) -> int:
    """How many other trials of the same fixes on this case there were, by the store."""
    mine = {fix.id for _, fix, _ in asked.fixed}
    case = asked.sets.case[0].id
    known = [one.evidence for one in asked.baseline.store.decisions(rule=TRIED, case_id=case)]
    names = {str(one["series"]) for one in known if "series" in one and str(one["fix"]["id"]) in mine}
    return len(names - {trials[0].name}) if trials else 0


def _idle_words(idle: Sequence[Case]) -> str:
    """Cases that were left out, since nothing says what a right answer to them is."""
    names = ", ".join(f"`{case.id}`" for case in idle[:3])
    more = f" and {len(idle) - 3} more" if len(idle) > 3 else ""
    have = "has no checks, so it was" if len(idle) == 1 else "have no checks, so they were"
    return f"{names}{more} {have} left out; give {'it' if len(idle) == 1 else 'them'} some, such as `schema: true`"


def _tried_before(asked: Asked) -> int:
    """How many other fixes were tried on this case, by the store."""
    mine = {fix.id for _, fix, _ in asked.fixed}
    case = asked.sets.case[0].id
    known = [one.evidence for one in asked.baseline.store.decisions(rule=TRIED) if one.case_id == case]
    return len({str(one["fix"]["id"]) for one in known if isinstance(one, dict) and "fix" in one} - mine)


def _inputs_for(rules: Rules) -> int:
    """Different control cases, none of them harmed, that bound the share of harmed traffic by the margin."""
    return math.ceil(math.log(rules.alpha) / math.log(1 - rules.margin))


def remember_fixes(asked: Asked, found: Tried, trials: Sequence[Trial]) -> None:
    """Keep what was concluded of every fix, with the samples that it rests on."""
    session = asked.baseline
    seqs = sorted({seq for t in trials for v in t.all for runs in v.runs.values() for one in runs for seq in one.seqs})
    for card, (_, fix, _) in zip(found.fixes, asked.fixed, strict=True):
        session.store.add_decision(
            rule=TRIED,
            question="fix",
            case_id=found.case,
            program_id=session.project.program.id,
            alpha=found.alpha,
            checks_ids=session.checker.ids(asked.sets.case[0], session.judging),
            verdict=card.verdict,
            stop_reason=found.stopped or card.verdict,
            seqs=seqs,
            evidence={
                "fix": {**fix.model_dump(mode="json"), "id": fix.id},
                "scorecard": to_json(card),
                "series": trials[0].name if trials else "",
            },
        )
