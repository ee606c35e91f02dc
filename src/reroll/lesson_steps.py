"""What each step of the tour does: it runs and reads the bundled model, and says how far off the reader's guess was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Literal

from reroll.case import Case
from reroll.evidence import interval
from reroll.fix import Fix
from reroll.init import EXAMPLE
from reroll.lesson_reading import Foretold, Place, Turns
from reroll.numbers import counts, interval_words, percent
from reroll.playground import Playground, Run, example

__all__ = [
    "AWKWARD",
    "CASE",
    "CLEAR",
    "HALF",
    "MOVED",
    "RIGHT",
    "Again",
    "Dud",
    "Heat",
    "Heated",
    "Rate",
    "Said",
    "Score",
    "Shown",
    "Tried",
    "Words",
    "again",
    "dud",
    "heat_at",
    "prepare",
    "range_of",
    "rate",
    "size",
    "temperature",
    "tried",
    "words",
]

CASE, HALF, RIGHT = "next-friday", "half-seven", "27"
AWKWARD = "um so like lunch w/ Ana next Friday i guess at noon or something"
CLEAR = "Lunch with Ana on Friday next week at noon"
FIVE, FIVES, MANY, SOME, EACH, HEATED = 5, 3, 100, 20, 6, 20
COLD_TO_WARM = (0.0, 0.5, 1.0)
SETS = (
    ("case", "The reported request"),
    ("neighbour", "Others like it"),
    ("lookalike", "Look-alikes"),
    ("control", "Ordinary ones"),
)

# Nobody thought of this one when the patch was written: it names the lunch, and means another day.
MOVED = Case.model_validate(
    {
        "id": "moved",
        "of": CASE,
        "set": "lookalike",
        "input": {"request": "Move lunch with Ana next Friday to tomorrow at noon"},
        "checks": [
            {
                "name": "right-meeting",
                "json": {"date": "2026-11-19", "time": "12:00", "duration_min": 60, "attendees": ["Ana"]},
            },
            {"name": "shape", "schema": True},
        ],
    }
)

Near = Literal["right", "near", "off", ""]


@dataclass(frozen=True, slots=True)
class Score:
    """How a guess fared, and what is said of it; `near` is empty where there was no guess that can be judged."""

    near: Near
    words: str


@dataclass(frozen=True, slots=True)
class Again:
    """So many fives, each of five runs."""

    fives: tuple[tuple[Run, ...], ...]
    score: Score


@dataclass(frozen=True, slots=True)
class Rate:
    """Few runs, many runs, and what the model's own probabilities say; `few_range`: what few leave open."""

    few: tuple[Run, ...]
    few_range: tuple[float, float]
    many: tuple[Run, ...]
    truth: Foretold
    guess: float | None
    score: Score


@dataclass(frozen=True, slots=True)
class Heat:
    """Failure rates of requests at temperatures: (request, temperature, rate), and runs of the case at 0."""

    rates: tuple[tuple[str, float, Foretold], ...]
    cold: tuple[Run, ...]
    score: Score


@dataclass(frozen=True, slots=True)
class Heated:
    """The case at one temperature: what may stand at its fork, runs, and the rate; None where too much is unknown."""

    temperature: float
    place: Place
    runs: tuple[Run, ...]
    rate: Foretold | None


@dataclass(frozen=True, slots=True)
class Said:
    """The request in some words: how often it fails, what may stand where that is decided, and a few runs."""

    label: str
    wording: str
    rate: Foretold
    place: Place
    runs: tuple[Run, ...]

    @property
    def likeliest(self) -> float:
        """The chance of the likeliest token at that place: the lower, the flatter."""
        return self.place.tokens[0][1]

    def chance(self, token: str) -> float:
        return next((p for text, p, _ in self.place.tokens if text == token), 0.0)


@dataclass(frozen=True, slots=True)
class Words:
    """The request in several wordings: plain, awkward, clear, and the reader's own if there is one."""

    said: tuple[Said, ...]
    score: Score


@dataclass(frozen=True, slots=True)
class Dud:
    """A wrong answer, token by token; `picked` is the place of the token that was guessed, from 1."""

    turns: Turns
    picked: int | None
    score: Score


@dataclass(frozen=True, slots=True)
class Shown:
    """One request, run without the change and with it."""

    wording: str
    set: str
    before: Foretold
    after: Foretold
    without: tuple[Run, ...]
    with_it: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """A change on every request. sets: (name, rate before, rate after), the request nobody thought of last;
    cured: the share of the failures of requests like it that is gone."""

    shown: tuple[Shown, ...]
    sets: tuple[tuple[str, Foretold, Foretold], ...]
    cured: float
    score: Score


def again(play: Playground, guess: str | None, seed: int) -> Again:
    """Five runs, and five more, and five more."""
    runs = play.runs(CASE, FIVE * FIVES, seed)
    fives = tuple(tuple(runs[k : k + FIVE]) for k in range(0, len(runs), FIVE))
    first, *more = (_wrong(five) for five in fives)
    told = f"{first} of {FIVE} came out wrong."
    near: Near = ""
    if guess is not None and guess.isdecimal() and len(guess) < 3:
        off = abs(int(guess) - first)
        near = "right" if off == 0 else "near" if off == 1 else "off"
        told = f"{told[:-1]}; you said {int(guess)}."
    told += f" The next fives brought {' and '.join(str(n) for n in more)}."
    if len({first, *more}) > 1:
        told += " Same words, same model, other numbers."
    return Again(fives, Score(near, told))


def rate(play: Playground, guess: str | None, seed: int) -> Rate:
    """The first five runs again, many more, and the rate as the model's own probabilities give it."""
    few = tuple(play.runs(CASE, FIVE * FIVES, seed)[:FIVE])
    many = tuple(play.runs(CASE, MANY, seed + 1)) if guess is not None else ()
    truth = play.rate(CASE)
    low, high = range_of(few)
    told = f"It fails in {_range(truth)} of runs."
    said = _percentage(guess)
    open_still = f"{_wrong(few)} wrong of {FIVE} leave anything from {interval_words(low, high)} open"
    if said is None:
        return Rate(few, (low, high), many, truth, None, Score("", f"{told} {open_still}."))
    off = max(truth.low - said, said - truth.high, 0.0)
    near: Near = "right" if off <= 0.05 else "near" if off <= 0.15 else "off"
    distance = "which is as near as one can say" if off < 0.005 else f"{counts('point', round(100 * off))} off"
    inside = low <= said <= high
    told += f" You said {percent(said)}, {distance}. {open_still}; your guess lay "
    told += "within, and more could not be known from them." if inside else "outside even that."
    return Rate(few, (low, high), many, truth, said, Score(near, told))


def temperature(play: Playground, guess: str | None, seed: int) -> Heat:
    """Two requests from temperature 0 to 1: at 0 one is always right and the other always wrong."""
    rates = tuple((case, at, play.rate(case, temperature=at)) for case in (CASE, HALF) for at in COLD_TO_WARM)
    cold = tuple(play.runs(CASE, FIVE, seed, temperature=0.0))
    other = tuple(play.runs(HALF, FIVE, seed, temperature=0.0))
    wrong, n = _wrong(cold), len(cold)
    truth = "never" if wrong == 0 else "always" if wrong == n else "sometimes"
    near: Near = "" if guess not in ("never", "sometimes", "always") else "right" if guess == truth else "off"
    told = f"At temperature 0 it failed {wrong} of {n} times"
    told += ", with the very same answer each time." if len({run.text for run in cold}) == 1 else "."
    told += f" “{_request(HALF)}” failed {_wrong(other)} of {len(other)} times there"
    told += ": its likeliest answer is a wrong one." if _wrong(other) == len(other) else "."
    return Heat(rates, cold, Score(near, told))


def heat_at(play: Playground, at: float, seed: int) -> Heated:
    """The case at a temperature that somebody moves."""
    fork = play.fork(CASE)
    place = play.next_tokens(CASE, fork.before, temperature=at) or fork
    found = play.rate(CASE, temperature=at)
    runs = tuple(play.runs(CASE, HEATED, seed + round(100 * at), temperature=at))
    return Heated(at, place, runs, found if found.sharp else None)


def words(play: Playground, guess: str | None, seed: int, own: str = "") -> Words:
    """The request said plainly, awkwardly, clearly, and as the reader says it."""
    each = [("Plain", _request(CASE)), ("Awkward", AWKWARD), ("Clear", CLEAR)]
    said = tuple(_said(play, label, text, seed) for label, text in [*each, *([("Yours", own)] if own else [])])
    plain, awkward, clear = said[:3]
    apart = awkward.rate.value - plain.rate.value
    truth = "same" if abs(apart) < 0.05 else "awkward" if apart > 0 else "plain"
    near: Near = "" if guess not in ("plain", "awkward", "same") else "right" if guess == truth else "off"
    rates = [_range(one.rate) for one in said]
    told = f"The plain wording fails in {rates[0]} of runs, the awkward one in {rates[1]}. “{clear.wording}” fails in "
    told += f"{rates[2]}." + (f" Yours fails in {rates[3]}." if own else "")
    there = [percent(one.chance(RIGHT)) for one in (clear, plain, awkward)]
    told += f" The right day, {RIGHT}, has a chance of {there[0]} where it is said clearly, {there[1]} plainly and "
    told += f"{there[2]} awkwardly."
    return Words(said, Score(near, told))


def _said(play: Playground, label: str, wording: str, seed: int) -> Said:
    before = play.fork(CASE).before
    place = play.next_tokens(CASE, before, wording=wording) or play.fork(CASE, wording=wording)
    runs = tuple(play.runs(CASE, SOME, seed, wording=wording))
    return Said(label, wording, play.rate(CASE, wording=wording), place, runs)


def dud(play: Playground, guess: str | None, seed: int) -> Dud:
    """A wrong answer that came just now, and the token under which it went wrong."""
    came = (run.text for run in play.runs(CASE, SOME, seed) if run.wrong)
    known = (text for text, _, outcome in play.answers(CASE) if outcome == "fail")
    turns = next(found for text in (*came, *known) if (found := play.turns(CASE, text)) is not None)
    before, after = turns.points[turns.worst - 1], turns.points[turns.worst]
    token = turns.points[turns.worst].token
    chance = next((p for text, p, _ in turns.place.tokens if text == token), None)
    told = (
        f"It was “{token}”. Of all answers that begin as this one does, {interval_words(before.low, before.high)} come "
    )
    told += f"out right; of those that go on with “{token}”, {interval_words(after.low, after.high)}."
    if chance is not None:
        told += f" It had a chance of {percent(chance)} there."
    picked = int(guess) if guess and guess.isdecimal() and len(guess) < 4 else None
    if picked is None or not 1 <= picked < len(turns.points):
        return Dud(turns, None, Score("", told))
    off = abs(picked - turns.worst)
    near: Near = "right" if off == 0 else "near" if off == 1 else "off"
    return Dud(turns, picked, Score(near, f"{_of_pick(turns, picked)}{told}"))


def _of_pick(turns: Turns, picked: int) -> str:
    if picked == turns.worst:
        return "Right. "
    before, mine = turns.points[picked - 1], turns.points[picked]
    if picked < turns.worst:
        return f"After your “{mine.token}” it still came out right in {interval_words(mine.low, mine.high)} of cases. "
    left = "it was lost already" if before.high < 0.1 else f"only {percent(before.value)} still came out right"
    return f"When your “{mine.token or 'end'}” came, {left}. "


def tried(play: Playground, name: str, guess: str | None, seed: int) -> Tried:
    """A fix of the bundled project on the reported request, on others like it, on look-alikes and on ordinary ones."""
    fix = _fix(name)
    shown = tuple(_shown(play, case, fix, seed + 17 * k) for k, case in enumerate(_requests()))
    sets = tuple((label, *_mean([one for one in shown if one.set == kind])) for kind, label in SETS)
    moved = shown[-1]
    sets += ((f"“{moved.wording}”", moved.before, moved.after),)
    (_, one, left), (_, like, still), *_ = sets
    cured = 1 - still.value / like.value
    truth = "none" if cured < 0.1 else "most" if cured > 0.75 else "half" if cured > 0.25 else ""
    near: Near = "" if guess not in ("most", "half", "none") else "right" if guess == truth else "off"
    told = (
        f"The reported request fails in {_range(one)} of runs without it and in {_range(left)} with it; requests like "
    )
    told += f"it in {_range(like)} and {_range(still)}: "
    told += "nothing is cured there." if truth == "none" else f"{percent(cured)} of that trouble is gone."
    told += f" And “{moved.wording}”, which failed in {_range(moved.before)}, "
    worse = moved.after.low > moved.before.high
    told += f"now fails in {_range(moved.after)}." if worse else f"fails in {_range(moved.after)} with it."
    return Tried(shown, sets, cured, Score(near, told))


def range_of(runs: Sequence[Run]) -> tuple[float, float]:
    """What these runs leave open: the failure rate lies in it, with an error chance of 5 %, however many are added."""
    return interval(_wrong(runs), len(runs))


@cache
def size() -> int:
    """How many parameters the model has, as its card says."""
    return int(json.loads((EXAMPLE.parent / "card.json").read_text(encoding="utf-8"))["parameters"])


def prepare(play: Playground) -> None:
    """Have the slower steps read what they will need, in the background."""
    reported = example().case(CASE)
    worded = [reported.model_copy(update={"input": {"request": text}}) for text in (AWKWARD, CLEAR)]
    cases: list[Case | str] = [reported, HALF, *worded, *_requests()]
    described: list[Fix] = [_fix("describe-date")]
    play.prepare([*((case, []) for case in cases), *((case, described) for case in _requests())])


def _requests() -> list[Case]:
    """The reported request, those like it, look-alikes, ordinary ones, and the one that nobody thought of."""
    every = example().cases
    order = [kind for kind, _ in SETS]
    mine = [one for one in every if one.set in order and (one.id == CASE or one.of == CASE or one.set == "control")]
    return [*sorted(mine, key=lambda one: order.index(one.set)), MOVED]


def _shown(play: Playground, case: Case, fix: Fix, seed: int) -> Shown:
    return Shown(
        _request(case),
        "moved" if case is MOVED else case.set,
        play.rate(case),
        play.rate(case, fixes=[fix]),
        tuple(play.runs(case, EACH, seed)),
        tuple(play.runs(case, EACH, seed, fixes=[fix])),
    )


def _mean(shown: Sequence[Shown]) -> tuple[Foretold, Foretold]:
    def mean(rates: Sequence[Foretold]) -> Foretold:
        return Foretold(fmean(one.low for one in rates), fmean(one.high for one in rates))

    return mean([one.before for one in shown]), mean([one.after for one in shown])


def _fix(name: str) -> Fix:
    return next(one for one in example().fixes if one.fix == name)


def _request(case: Case | str) -> str:
    return str((example().case(case) if isinstance(case, str) else case).input["request"])


def _range(rate: Foretold) -> str:
    return interval_words(rate.low, rate.high)


def _wrong(runs: Sequence[Run]) -> int:
    return sum(run.wrong for run in runs)


def _percentage(guess: str | None) -> float | None:
    """A guess in percent as a rate, kept within 0 and 1; None for what is no number."""
    if not guess or len(guess) > 6 or not guess.isascii() or not guess.replace(".", "", 1).isdecimal():
        return None
    return min(100.0, max(0.0, float(guess))) / 100
