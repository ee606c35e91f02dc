"""The scorecards of tried fixes as values, and what a colleague reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reroll.answer import Cost, Rate, to_json
from reroll.evidence import Est
from reroll.match import excerpt
from reroll.numbers import counts, in_ten, interval_words, percent
from reroll.reworded import Dropped
from reroll.scorecard import ClaimState, FixVerdict, Net, Rules
from reroll.words import allowing, points

__all__ = [
    "SETS_IN_WORDS",
    "Card",
    "Forecast",
    "NewFailure",
    "SetShown",
    "Tried",
    "TryPrice",
    "Worth",
    "alpha_of",
    "foretold_words",
    "helps_sentence",
    "margin_words",
    "reply",
]


@dataclass(frozen=True, slots=True)
class TryPrice:
    """What it will take, said before the first call: to reject a special case, to accept, and at the very most."""

    reject: int
    accept: int
    most: int


@dataclass(frozen=True, slots=True)
class SetShown:
    """One set of cases before and after, in pairs. ties: pairs in which the fix provably changes nothing."""

    before: Rate
    after: Rate
    pairs: int
    cases: int


@dataclass(frozen=True, slots=True)
class NewFailure:
    """A kind of failure that the fix brought and the baseline never had: on which set, how often, of how many runs."""

    set: str
    words: str
    count: int
    n: int
    sample: str


@dataclass(frozen=True, slots=True)
class Worth:
    """What an earlier fix still earns with the new one in place. debt: nothing that could be seen."""

    id: str
    fix: str
    worth: Est
    debt: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a retry step was to deliver, foretold from runs without it. No result: only the runs with it are.

    of:     the set of these runs: `case`, `choosing` or `neighbour`; inputs: how many cases of it were run.
    after:  the failure rate with the step; calls: calls for one answer; both of inputs like these.
    spread: how much inputs differ: 0 all alike, 1 each always or never wrong; None: no input ran twice.
    """

    of: str
    inputs: int
    after: Est
    calls: Est
    spread: float | None


@dataclass(frozen=True, slots=True)
class Card:
    """The scorecard of one fix. Rates and harms in 0...1, harms are rises of a failure rate.

    phase:      `choosing`: seen only on the half of the neighbours that fixes are chosen by; `final`: on the other.
    claims:     each of `scorecard.CLAIMS`: shown, refuted, open or not_examined.
    broke:      runs in which its own step broke, which have failed; broke_on: what one of them broke on.
    stopped:    runs in which it withheld the answer; stopped_right: those in which the program's own was right.
    literals:   what it copies from the reported case; branches: conditions that it adds.
    tokens:     prompt and completion tokens that it adds per request, prompt_tokens: of them those of the prompt;
                extra_calls, seconds, usd: the same for those.
    needed:     further calls until there is a verdict if all goes on as so far; None: no end in sight.
    beaten_by:  another fix that did better on the half for choosing.
    idea:       the words of the idea that it came of, and then `author` whose it was; both only with a verdict.
    alike:      the sets on none of whose cases anything in it can act, which takes no run to know.
    because:    why it was suggested; empty where somebody named it. predicted: how much less often the case was to fail
                with it, where that could be said beforehand; forecast: the same of a retry step, by input.
    written:    the file that it was written into, since it is accepted and was in none.
    margin:     the rise on control cases that was held to be harm.
    """

    id: str
    fix: str
    kind: str
    author: str
    verdict: FixVerdict
    reasons: tuple[str, ...]
    phase: str
    claims: Mapping[str, ClaimState]
    diff: str
    case: SetShown
    neighbours: SetShown
    lookalikes: SetShown | None
    control: SetShown | None
    case_gain: Est
    neighbour_gain: Est
    generalisation: Est
    lookalike_harm: Est
    control_harm: Est
    new_failures: tuple[NewFailure, ...]
    net: Net | None
    literals: tuple[str, ...]
    branches: int
    tokens: float | None
    extra_calls: float
    seconds: float | None
    usd: float | None
    stopped: int
    stopped_right: int
    needed: int | None
    beaten_by: str | None
    alike: tuple[str, ...] = ()
    idea: str = ""
    pile_up: tuple[Worth, ...] = ()
    because: str = ""
    predicted: Est | None = None
    forecast: Forecast | None = None
    written: str = ""
    margin: float = Rules().margin
    broke: int = 0
    broke_on: str = ""
    prompt_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """The answer. best: the fix that was taken to the sealed half; None where none was worth it.

    dropped: what a model proposed that cannot be used, and why.
    """

    case: str
    program: dict[str, Any]
    model: str
    fixes: tuple[Card, ...]
    best: str | None
    margin: float
    lookalike_margin: float
    alpha: float
    price: TryPrice
    cost: Cost
    caveats: tuple[str, ...]
    finished: bool
    stopped: str
    dropped: tuple[Dropped, ...] = ()

    @property
    def text(self) -> str:
        return reply(self)

    @property
    def verdict(self) -> FixVerdict:
        """Of the best fix, or of the only one; of several that all are rejected: reject."""
        if self.best is not None:
            return self.card(self.best).verdict
        return "reject" if all(card.verdict == "reject" for card in self.fixes) else "undecided"

    def card(self, name: str) -> Card:
        return next(card for card in self.fixes if card.fix == name)

    @property
    def ranked(self) -> tuple[Card, ...]:
        """The cards, the best first: the one that was taken to the sealed half, then those that are not rejected."""
        rank = {"accept": 0, "undecided": 1, "reject": 2}

        def place(card: Card) -> tuple[bool, int, float]:
            rate = card.neighbours.after.estimate
            return card.fix != self.best, rank[card.verdict], 1.0 if rate is None else rate

        return tuple(sorted(self.fixes, key=place))

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.try/1`."""
        return {"schema": "reroll.try/1", **to_json(self), "verdict": self.verdict, "text": self.text}


# ---------------------------------------------------------------- words

MOST_SENTENCES = 6
TOO_LITTLE = f"by less than {percent(Rules().least_gain)} of its failures, if at all"
SETS_IN_WORDS = {
    "case": "the reported request",
    "neighbour": "similar requests",
    "choosing": "similar requests",
    "lookalike": "look-alikes",
    "control": "ordinary requests",
}


def reply(found: Tried) -> str:
    """What one would paste into a thread: at most six sentences, none stronger than what the runs show."""
    ran = found.cost.calls or found.cost.reused
    if not ran and not any(card.verdict == "reject" for card in found.fixes):
        return "No call was made, so nothing is known yet."
    if len(found.fixes) == 1:
        return " ".join(_about(found.fixes[0], found)[:MOST_SENTENCES])
    said = []
    if found.best is not None:
        others = len(found.fixes) - 1
        open_still = any(
            card.verdict == "undecided" and card.beaten_by is None for card in found.fixes if card.fix != found.best
        )
        so_far = " so far" if open_still or found.card(found.best).phase != "final" else ""
        said.append(f"Of {len(found.fixes)} fixes `{found.best}` did best{so_far} on requests like the reported one.")
        said += _about(found.card(found.best), found)[: MOST_SENTENCES - 2]
        out = [card.fix for card in found.fixes if card.verdict == "reject"]
        if out and others:
            said.append(f"Rejected: {', '.join(f'`{name}`' for name in out[:4])}.")
    elif all(card.verdict == "reject" for card in found.fixes):
        said.append(f"None of the {len(found.fixes)} fixes is worth having.")
        said += [f"`{card.fix}`: {_why(card, found)[0]}" for card in found.fixes[:4]]
    else:
        said.append("These runs do not show yet which fix helps.")
    return " ".join(said[:MOST_SENTENCES])


def alpha_of(found: Tried) -> float:
    """The chance that any of these verdicts is wrong: each is so with alpha at most."""
    return found.alpha * sum(card.verdict != "undecided" for card in found.fixes)


def helps_sentence(found: Tried) -> str:
    """What came of fixes that were suggested and tried, in one sentence of an answer; no stronger than the verdict."""
    n = len(found.fixes)
    card = None if found.best is None else found.card(found.best)
    if card is None:
        if all(one.verdict == "reject" for one in found.fixes):
            return f"None of the {n} changes that were tried is worth having."
        return f"Whether any of the {n} changes that were tried helps is not known yet."
    which = (
        f"The one change that was tried, `{card.fix}`," if n == 1 else f"Of {n} changes that were tried `{card.fix}`"
    )
    did = "" if n == 1 else " did best and"
    rate, before = card.neighbours.after, card.neighbours.before
    if card.verdict == "accept":
        return f"{which}{did} is accepted: with it similar requests fail {_rate(rate)} instead of {_rate(before)}."
    if card.verdict == "reject":
        return f"{which}{did} is rejected: {'; '.join(_why(card, found))}"
    more = "" if card.needed is None else f"; about {counts('more call', card.needed)} would decide"
    if not rate.n:
        return f"{which}{did} is neither accepted nor rejected yet{more}."
    seen = (
        f"{rate.failures} of {counts('run', rate.n)} of similar requests failed with it, without it {before.failures}"
    )
    return f"{which}{did} is neither accepted nor rejected yet: {seen} of {before.n}{more}."


def margin_words(margin: float) -> str:
    """The option that asks for this margin again, with a blank before it; empty where it is the usual one.

    >>> margin_words(0.1), margin_words(0.02)
    (' --margin 0.1', '')
    """
    return "" if margin == Rules().margin else f" --margin {margin:g}"


def foretold_words(forecast: Forecast) -> str:
    """A forecast as one says it.

    >>> foretold_words(Forecast("neighbour", 4, Est(0.06, 0.03, 0.11, 40), Est(1.2, 1.1, 1.4, 40), 0.1))
    'foretold for similar requests: fails 6 % (3–11 %) with 1.2 calls'
    """
    after, calls = forecast.after, forecast.calls
    range_ = "" if after.low is None or after.high is None else f" ({interval_words(after.low, after.high)})"
    fails = percent(after.value or 0.0)
    return f"foretold for {SETS_IN_WORDS[forecast.of]}: fails {fails}{range_} with {calls.value or 1.0:.1f} calls"


def _about(card: Card, found: Tried) -> list[str]:
    """One fix: what it does, whom it helps, whom it harms, and what that comes to."""
    said = [_cure(card)]
    if card.verdict == "reject":
        said.append(f"It is rejected: {'; '.join(_why(card, found))}")
        return [*said, *_broke(card), *_stopped(card), *_thanks(card)]
    said.append(_harm(card, found))
    if card.verdict == "accept":
        kept = f" and kept in {card.written}" if card.written else ""
        said.append(f"It is accepted{kept}{allowing(found.alpha)}.")
        if card.net is not None and card.net.per_10k.value is not None:
            said.append(_net(card.net))
    else:
        said.append(_open(card))
    return [*said, *_broke(card), *_stopped(card), *_debts(card), *_thanks(card)]


def _broke(card: Card) -> list[str]:
    return [f"In {counts('run', card.broke)} its own step broke: {excerpt(card.broke_on, 120)}."] if card.broke else []


def _debts(card: Card) -> list[str]:
    debts = [f"`{worth.fix}`" for worth in card.pile_up if worth.debt]
    if not debts:
        return []
    return [f"With it in place {' and '.join(debts)} earn{'s' if len(debts) == 1 else ''} nothing that could be seen."]


def _thanks(card: Card) -> list[str]:
    return [f"The idea was {card.author}'s: thank you."] if card.idea and card.author else []


def _rate(rate: Rate) -> str:
    return "in no run that could be judged" if rate.estimate is None else in_ten(rate.estimate)


def _cure(card: Card) -> str:
    case, near = card.case, card.neighbours
    if not case.after.n and card.verdict == "reject":
        return f"`{card.fix}` was not run, since it takes no run to know what comes of it."
    if not case.after.n:
        return f"No pair of runs with `{card.fix}` is whole yet."
    said = f"With `{card.fix}` the reported request fails {_rate(case.after)} instead of {_rate(case.before)}"
    if not near.after.n:
        return f"{said} ({counts('pair', case.pairs)} of runs)."
    others = f"requests like it fail {_rate(near.after)} instead of {_rate(near.before)}"
    said = f"{said}, and {others} ({counts('pair', near.pairs)} of runs)."
    lost = case.after.invalid + near.after.invalid
    return said if not lost else f"{said} {lost} runs with it could not be judged, and count against it."


def _why(card: Card, found: Tried) -> list[str]:
    """Why it is rejected, each reason with its number; the last ends the sentence."""
    said = []
    for reason in card.reasons:
        if reason == "cures":
            nothing = "nothing in it can act on the reported request"
            said.append(nothing if "case" in card.alike else f"it helps the reported request {TOO_LITTLE}")
        elif {"neighbour", "choosing"} & set(card.alike):
            acts = f"nothing in it can act on any of the {card.neighbours.cases} requests like the reported one"
            said += [] if acts in said else [acts]
        elif reason == "helps":
            said.append(f"it helps requests like the reported one {TOO_LITTLE}")
        elif reason == "generalises":
            high = card.generalisation.high
            most = "" if high is None else f", at most {percent(min(1.0, high), 'up')} of what the case gains"
            said.append(f"it is a special case that helps others like it too little{most}")
        elif reason == "spares_lookalikes":
            said.append(f"it breaks requests that only look alike, by {_by(card.lookalike_harm)}")
        else:
            said.append(f"it makes ordinary requests fail more often, by {_by(card.control_harm)}")
    return [*said[:-1], f"{said[-1]}."] if said else []


def _by(harm: Est) -> str:
    return points(harm.value, signed=False)


def _harm(card: Card, found: Tried) -> str:
    state, harm = card.claims["spares_control"], card.control_harm
    if state == "not_examined" and card.phase == "final":
        return "What it does to ordinary requests is not known, since there are none to try it on (`set: control`)."
    if "control" in card.alike:
        return "On the ordinary requests nothing in it can act, so it changes nothing there."
    if not harm.n or state == "not_examined":
        return "What it does to ordinary requests was not measured yet."
    high = max(0.0, min(1.0, harm.high if harm.high is not None else 1.0))
    most = points(high, signed=False, toward="up")
    if (harm.low or 0.0) > 0:
        return f"Ordinary requests fail more often with it, by {_by(harm)}; more than {most} is ruled out."
    if state == "shown":
        if harm.value is not None and harm.value > 0:
            by = _by(harm)
            return (
                f"Ordinary requests failed {by} more often with it, which may be chance; more than {most} is ruled out."
            )
        return f"On ordinary requests no harm was seen; one of more than {most} is ruled out."
    return f"For ordinary requests a harm of up to {most} is not ruled out yet."


def _open(card: Card) -> str:
    if card.beaten_by is not None:
        return f"It was taken no further, since `{card.beaten_by}` did better or as well."
    if card.needed is None:
        return "That is not enough to accept or reject it, and no number of calls in sight would decide."
    return f"That is not enough to accept or reject it; about {counts('more call', card.needed)} would decide."


def _net(net: Net) -> str:
    low, high = net.per_10k.low or 0.0, net.per_10k.high or 0.0
    share = percent(net.prevalence)
    if low <= 0 <= high:
        return f"Whether fewer requests fail on balance is not known, if {share} of all are like the reported one."
    fewer = "fewer" if low > 0 else "more"
    ends = sorted((abs(low), abs(high)))
    return (
        f"Of 10,000 requests {ends[0]:,.0f} to {ends[1]:,.0f} {fewer} would fail, if {share} are like the reported one."
    )


def _stopped(card: Card) -> list[str]:
    if not card.stopped:
        return []
    right = f", {card.stopped_right} of them right ones" if card.stopped_right else ""
    return [f"It withheld {counts('answer', card.stopped)}{right}; nobody got another one instead."]
