"""What `phrase` answers about whole requests: how far apart wordings fail, beside re-runs, in words and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reroll.answer import Cost, OutcomeWord, Rate, to_json
from reroll.evidence import Est
from reroll.numbers import counts, interval_words, percent
from reroll.wording_rounds import Spread, WordingsVerdict
from reroll.words import points

__all__ = ["Dropped", "Reworded", "WordingRate", "est_words", "quote", "reworded_reply"]

QUOTED = 90  # characters of a wording in a sentence


@dataclass(frozen=True, slots=True)
class WordingRate:
    """One wording. kind: `asked` (as it is now), `named` by the person, a rule of `reroll.paraphrase`, or `written`.

    aside_after: none of its runs passed while others did, which was enough by this round to say that it may mean
    something else, and not to count it; pending: none passed, and that is not shown. All rates' ranges hold at once.
    """

    id: str
    kind: str
    text: str
    rate: Rate
    aside_after: int | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """A wording that the model was asked for, and what made its reply unusable. sample: where the reply is stored."""

    sample: str
    said: str
    why: str


@dataclass(frozen=True, slots=True)
class Reworded:
    """The answer. wordings: as asked first, then in the order in which they were taken.

    spread: None where too little was run. rounds: in each every wording was run once. best, worst:
    counted wordings with the lowest and the highest rate so far. alpha: of the verdict, and once more of all ranges.
    """

    verdict: WordingsVerdict
    case: str
    program: dict[str, Any]
    model: str
    wordings: tuple[WordingRate, ...]
    spread: Spread | None
    margin: float | None
    rounds: int
    decided_at: int | None
    calls_needed: int | None
    log_e: float
    written: int
    dropped: tuple[Dropped, ...]
    outcomes: tuple[tuple[OutcomeWord, ...], ...]
    cost: Cost
    caveats: tuple[str, ...]
    alpha: float
    alpha_total: float
    finished: bool
    stopped: str

    @property
    def counted(self) -> tuple[WordingRate, ...]:
        """The wordings that the spread is about."""
        return tuple(one for one in self.wordings if one.aside_after is None)

    @property
    def best(self) -> WordingRate | None:
        judged = [one for one in self.counted if one.rate.estimate is not None]
        return min(judged, key=lambda one: one.rate.estimate or 0.0, default=None)

    @property
    def worst(self) -> WordingRate | None:
        judged = [one for one in self.counted if one.rate.estimate is not None]
        return max(judged, key=lambda one: one.rate.estimate or 0.0, default=None)

    @property
    def text(self) -> str:
        return reworded_reply(self)

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.phrase/1`, `of` wordings."""
        plain: dict[str, Any] = to_json(self)
        spread = plain.pop("spread") or dict.fromkeys(("between", "within", "observed", "chance"))
        return {
            "schema": "reroll.phrase/1",
            "of": "wordings",
            **plain,
            **spread,
            "best": self.best.id if self.best else None,
            "worst": self.worst.id if self.worst else None,
            "text": self.text,
        }


def quote(text: str, most: int = QUOTED) -> str:
    """A wording between quotation marks, as much of it as fits.

    >>> quote("Lunch with  Ana"), quote("a long wording", 7)
    ('“Lunch with Ana”', '“a long…”')
    """
    line = " ".join(text.split())
    return f"“{line if len(line) <= most else line[:most].rstrip() + '…'}”"


def reworded_reply(found: Reworded) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than the verdict."""
    said = [_spread_sentence(found)]
    best, worst = found.best, found.worst
    if best and worst and best.id != worst.id and best.rate.estimate != worst.rate.estimate:
        least = "shown best" if found.verdict == "differ" and best.rate.high < worst.rate.low else "best so far"
        said.append(f"{least[0].upper()}{least[1:]}: {quote(best.text)} fails in {_fails(best.rate)}.")
        said.append(
            f"{'Worst' if least == 'shown best' else 'Worst so far'}: {quote(worst.text)}, {_fails(worst.rate)}."
        )
    asked = found.wordings[0]
    if best and worst and asked.id not in (best.id, worst.id):
        said.append(f"As it is asked now it fails in {_fails(asked.rate)}.")
    aside = [one for one in found.wordings if one.aside_after is not None]
    if aside:
        more = f" (and {len(aside) - 1} more)" if len(aside) > 1 else ""
        said.append(
            f"{quote(aside[0].text)}{more} failed every time while others passed: it may mean something else, and is "
            "not counted."
        )
    if found.verdict == "undecided" and found.rounds:
        said.append(_open_sentence(found))
    return " ".join(said)


def _spread_sentence(found: Reworded) -> str:
    spread, n = found.spread, len(found.counted)
    if spread is None or spread.between.value is None:
        return f"Too little was run to tell {counts('wording', n)} apart ({counts('round', found.rounds)})."
    low, high = spread.between.low or 0.0, spread.between.high or 0.0
    about = _between(low, high) if low or found.verdict != "differ" else f"above 0, at most {_most(high)}"
    size = f"{points(spread.between.value, signed=False)} ({about})"
    ends = {
        "differ": "it is the wording",
        "no_different": f"it is not the wording, to within {points(found.margin, signed=False)}",
        "undecided": "that it is the wording is not shown",
    }
    return (
        f"With {counts('run', found.rounds)} each, failure rates from re-runs of one wording differ by "
        f"{points(spread.chance, signed=False)} (standard deviation), those of these {counts('wording', n)} by "
        f"{points(spread.observed, signed=False)}; re-runs taken off, wordings differ by {size}: {ends[found.verdict]}."
    )


def _open_sentence(found: Reworded) -> str:
    pending = [one for one in found.wordings if one.pending]
    if pending:
        verb = "has" if len(pending) == 1 else "have"
        return (
            f"{counts('wording', len(pending))} {verb} not passed once yet, so whether it keeps the meaning is open "
            "and no verdict is given."
        )
    if found.calls_needed:
        return f"About {counts('more call', found.calls_needed)} would tell, as it looks now."
    return "The evidence does not grow so far, so how many more calls would tell cannot be said."


def _between(low: float, high: float) -> str:
    return interval_words(min(1.0, low), min(1.0, high)).removesuffix(" %") + " points"


def _most(high: float) -> str:
    return points(min(1.0, high), signed=False, toward="up")


def _fails(rate: Rate) -> str:
    if rate.estimate is None:
        return f"{interval_words(rate.low, rate.high)} of runs"
    return f"{percent(rate.estimate)} of runs ({interval_words(rate.low, rate.high)})"


def est_words(est: Est) -> str:
    """A standard deviation of rates with its range, in points."""
    if est.value is None or est.low is None or est.high is None:
        return "not known"
    return f"{points(est.value, signed=False)} ({_between(est.low, est.high)})"
