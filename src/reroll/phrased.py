"""What `phrase --tokens` answers: wordings of one request held against each other at one token, in words and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from reroll.answer import Cost, to_json
from reroll.astray import shown
from reroll.evidence import Est
from reroll.flattening import Range
from reroll.models.continuing import Tier
from reroll.numbers import bits, counts, interval_words, percent
from reroll.words import between_points, brief, points

__all__ = [
    "Chosen",
    "PathToken",
    "PhrasePrice",
    "Phrased",
    "Read",
    "TokenRow",
    "WordingVerdict",
    "finite",
    "quoted",
    "reply",
]

Chosen = Literal["dud", "open", "differ", "given"]
WordingVerdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True, slots=True)
class PhrasePrice:
    """What it will take, said before the first call. runs: the usual number from the place; most: all calls at most."""

    finding: int
    scoring: int
    runs: int
    most: int


@dataclass(frozen=True, slots=True)
class Read:
    """One wording at the place; the first one is what the others are held against.

    prob:       of the watched token (the one that the recorded completion has there); None: cut off, or not listed.
    reach:      chance that an answer comes to the place by these very tokens; None: the way was not scored.
    success:    how often answers from the place on work out; None: not run.
    predicted:  of a screen: what its success at the place would change by, if what follows each token stayed the same.
    confirmed:  whether runs under this wording stand behind it: a prediction never is.
    """

    id: str
    name: str
    says: str
    entropy: Range
    margin: float | None
    prob: float | None
    unlisted: float
    reach: float | None
    success: Est | None
    total_variation: Range
    jensen_shannon: Range
    flatter: bool | None
    predicted: Est | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What may stand at the place: its chance under each wording, and how often answers that go on so work out.

    probs: None where it is cut off, or not listed; success: under each wording that was run; moved, rest: this token's
    parts of the change, as estimated.
    """

    token: str
    watched: bool
    probs: tuple[float | None, ...]
    success: tuple[Est, ...]
    moved: float | None
    rest: float | None


@dataclass(frozen=True, slots=True)
class PathToken:
    """One token of the recorded completion, its chance under each wording, and how far apart the two are there."""

    text: str
    probs: tuple[float | None, ...]
    total_variation: float


@dataclass(frozen=True, slots=True)
class Phrased:
    """The answer. With two wordings `change` = `moved` + `rest`, as points of success at the place; of a screen of
    more they are None, and `wordings` are in the order of their predictions, the first one first.

    differ_most: the position where the two distributions are furthest apart; None: not known.
    aside: what of both distributions no run followed, and what their reading leaves open; the ranges have it in them.
    """

    mode: Literal["pair", "screen"]
    verdict: WordingVerdict | None
    case: str
    program: dict[str, Any]
    model: str
    tier: Tier
    exact: bool
    sample: str
    sample_of: str
    sample_fails: bool
    position: int
    chosen: Chosen
    before: str
    watched: str
    differ_most: int | None
    wordings: tuple[Read, ...]
    tokens: tuple[TokenRow, ...]
    path: tuple[PathToken, ...]
    change: Est | None
    moved: Est | None
    rest: Est | None
    aside: float
    calls_needed: int | None
    runs: int
    reused: int
    price: PhrasePrice
    method: str
    alpha: float
    cost: Cost
    caveats: tuple[str, ...]
    finished: bool
    stopped: str

    @property
    def text(self) -> str:
        return reply(self)

    @property
    def best(self) -> Read | None:
        """Of a screen the wording that is most promising; None where none is predicted to help."""
        later = [w for w in self.wordings[1:] if w.predicted is not None and (w.predicted.value or 0) > 0]
        return later[0] if later else None

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.phrase/1`."""
        plain: dict[str, Any] = to_json(self)
        place = {name: plain.pop(name) for name in ("position", "chosen", "before", "watched", "differ_most", "sample")}
        place["watched"] = shown(self.watched)
        return {
            "schema": "reroll.phrase/1",
            "of": "tokens",
            **plain,
            "at": {**place, "sample_of": plain.pop("sample_of"), "sample_fails": plain.pop("sample_fails")},
            "text": self.text,
        }


def reply(found: Phrased) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than what was read or run."""
    return _pair_reply(found) if found.mode == "pair" else _screen_reply(found)


def quoted(name: str) -> str:
    """A token between quotation marks, as people read it."""
    plain = shown(name).replace("\n", "⏎")
    return f"“{plain.strip() or '␣' * len(plain)}”"


def _pair_reply(found: Phrased) -> str:
    a, b = found.wordings
    assert found.change is not None
    assert found.moved is not None
    assert found.rest is not None
    name = quoted(found.watched)
    said = [
        f"At token {found.position} of the answer {_chance(name, a.prob)} with A ({brief(a.name)}) and "
        f"{_often(b.prob)} with B ({brief(b.name)})."
    ]
    if b.flatter is not None:
        word = "more open" if b.flatter else "more settled"
        said.append(f"B leaves the choice there {word} (entropy {_middle(a.entropy)} and {_middle(b.entropy)}).")
    if found.change.value is None or a.success is None or b.success is None:
        return " ".join([*said, "How often answers from there on work out was not run."])
    low, high = found.change.low or 0.0, found.change.high or 0.0
    works = f"From there on an answer works out in {_rate(a.success)} with A and in {_rate(b.success)} with B"
    if found.verdict == "undecided":
        more = found.calls_needed
        needed = f"about {counts('more call', more)} would tell" if more else "no number of calls in sight would tell"
        said.append(f"{works}; which is better there is not shown ({between_points(low, high)}), {needed}.")
        return " ".join(said)
    least, most = sorted((abs(low), abs(high)))
    by = f"{points(least, signed=False, toward='down')} to {points(most, signed=False, toward='up')}"
    said.append(f"{works}: B is {found.verdict} there, by {by}.")
    said.append(
        f"Of the {points(found.change.value)}, {points(found.moved.value)} come from what is said at this token "
        f"({_ends(found.moved)}), {points(found.rest.value)} from what follows it ({_ends(found.rest)})."
    )
    return " ".join(said)


def _screen_reply(found: Phrased) -> str:
    a, best = found.wordings[0], found.best
    name = quoted(found.watched)
    tried = counts("other wording", len(found.wordings) - 1)
    said = [f"At token {found.position} of the answer {_chance(name, a.prob)} as it is worded now ({brief(a.name)})."]
    if found.wordings[-1].predicted is None or found.wordings[-1].predicted.value is None:
        said.append("How often answers from there on work out was not run, so nothing is predicted.")
    elif best is None or best.predicted is None:
        said.append(f"Of {tried}, none is predicted to work more often from there on.")
    else:
        low, high = best.predicted.low or 0.0, best.predicted.high or 0.0
        said.append(
            f"Of {tried}, “{brief(best.name)}” looks most promising: {name} comes there in {_often(best.prob)}, and if "
            f"what follows each token stayed the same it would work {points(best.predicted.value)} more often "
            f"({between_points(low, high)})."
        )
        said.append("That is a prediction from probabilities; no run has confirmed it.")
    return " ".join(said)


def _chance(name: str, p: float | None) -> str:
    return f"{name} comes in {_often(p)}"


def _middle(found: Range) -> str:
    return bits(found.middle, found.middle)


def _often(p: float | None) -> str:
    return "hardly any run" if p is None else f"{percent(min(1.0, p))} of runs"


def _rate(est: Est) -> str:
    return f"{interval_words(max(0.0, est.low or 0.0), min(1.0, 1.0 if est.high is None else est.high))} of runs"


def _ends(est: Est) -> str:
    return between_points(est.low or 0.0, est.high or 0.0)


def finite(margin: float) -> float | None:
    """A margin as JSON has it: null where there is no second token."""
    return margin if math.isfinite(margin) else None
