"""What may be said of a cause: whether the check itself is at fault, what the request never asks for, and the words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reroll.answer import CauseSection, NamedFactor
from reroll.beta import clopper_pearson
from reroll.check import Check
from reroll.evidence import Est
from reroll.numbers import counts, percent
from reroll.program import Request

__all__ = [
    "BETTER",
    "MOST_LABELS",
    "STANDS_OUT",
    "SUCH_SEARCHES",
    "CheckDoubt",
    "always",
    "cause_sentences",
    "drop_words",
    "enough_labels",
    "never_asked",
    "sentence_for_doubt",
    "whole_points",
]

STANDS_OUT = 0.2  # a likelihood below which a part is not named: most such parts are innocent
MOST_LABELS = 8
EXPLAINS = 0.7  # a check that is wrong about so many of the failures explains them
BETTER = "fails less"  # ends the words of a replica that works better than the server as reported
CERTAINLY = 0.3  # and about at least so many, with 95 % confidence
ALWAYS = 0.95  # fails so often: always, for all that matters
RUNS = 4  # failing runs that must have been judged again: one answer says nothing of the others
LEAST = 8  # runs that "always" needs
WORD = re.compile(r"[^\W_]{3,}|\d+")
COMBINED = ("all",)
SUCH_SEARCHES = "four of five such searches"  # in which the smallest visible effect is seen


@dataclass(frozen=True, slots=True)
class CheckDoubt:
    """What came out when failing answers were judged again, and when a person looked at them.

    again, changed: judgings repeated, and how many of those said pass; runs, turned: how many failing runs were judged
    again, and how many passed more often than not; labels, right: failing answers that a person
    judged for sure, and how many they found right; names: the checks that failed.
    """

    again: int = 0
    changed: int = 0
    runs: int = 0
    turned: int = 0
    labels: int = 0
    right: int = 0
    names: tuple[str, ...] = ()

    @property
    def by(self) -> Literal["judging", "person"] | None:
        """Who contradicts the check about most failures; None: nobody does.

        >>> CheckDoubt(again=24, changed=16, runs=8, turned=6).by, CheckDoubt(labels=8, right=6).by
        ('judging', 'person')
        >>> CheckDoubt(again=3, changed=3, runs=1, turned=1).by is CheckDoubt(labels=3, right=0).by is None
        True
        """
        if self.labels and self.right / self.labels >= EXPLAINS and _at_least(self.right, self.labels) > CERTAINLY:
            return "person"
        # A check that takes turns is at fault well before it is wrong about most failures.
        several = self.runs >= RUNS and self.turned >= self.runs / 2
        if several and _at_least(self.changed, self.again) > CERTAINLY:
            return "judging"
        return None

    @property
    def takes_turns(self) -> bool:
        """Whether the check was seen to change its mind, in too few failing runs to say how often."""
        return self.by is None and self.changed > 0 and self.runs < MOST_LABELS


def _at_least(hits: int, n: int) -> float:
    return clopper_pearson(hits, n, 0.1)[0]  # one-sided 95 %


def enough_labels(labels: int, right: int) -> bool:
    """Whether more labels would not change what is done: the first three agree with the check, or the first four say
    that it is wrong, or there are eight.

    >>> enough_labels(3, 0), enough_labels(3, 1), enough_labels(4, 4), enough_labels(8, 4)
    (True, False, True, True)
    """
    return labels >= MOST_LABELS or (labels >= 3 and right == 0) or (labels >= 4 and right == labels)


def always(failures: int, n: int) -> bool:
    """Whether it fails every time, for all that matters."""
    return n >= LEAST and failures >= ALWAYS * n


def never_asked(request: Request, checks: Sequence[Check]) -> str | None:
    """What these checks want and the request nowhere mentions, quoted; None: it is mentioned, or that cannot be told.

    Looked for are the words of texts that must be there, the keys of JSON, the names of tools. What code, a person or
    a rubric wants is not known, and counts as mentioned.

    >>> asked = Request("m", None, {"messages": [{"role": "user", "content": "Sum the invoice in EUR."}]})
    >>> never_asked(asked, [Check.of("contains", "Kind regards")])
    'Kind regards'
    >>> never_asked(asked, [Check.of("contains", "EUR")]) is None
    True
    """
    said = (request.raw or json.dumps(request.body, ensure_ascii=False)).lower()
    for check in checks:
        for demand in _demands(check):
            words = [word.lower() for word in WORD.findall(demand)]
            if words and not any(word in said for word in words):
                return demand
    return None


def _demands(check: Check) -> list[str]:
    value: Any = check.value
    if check.kind in COMBINED:
        return [demand for inner in value for demand in _demands(inner)]
    if check.kind in ("equals", "contains"):
        return [v for v in (value if isinstance(value, list | tuple) else [value]) if isinstance(v, str)]
    if check.kind == "matches":
        pattern = value if isinstance(value, str) else ""
        return [re.sub(r"\\[a-zA-Z]|[^\w\s]", " ", pattern).strip()] if pattern else []
    if check.kind == "json" and isinstance(value, Mapping):
        return [str(key) for key in value]
    if check.kind == "schema" and isinstance(value, Mapping):
        return [str(key) for key in value.get("properties", {})]
    if check.kind == "tool_call" and isinstance(value, Mapping):
        return [str(value.get("name", ""))]
    return []


# ---------------------------------------------------------------- words


def cause_sentences(found: CauseSection, extra: str = "", known: Mapping[str, NamedFactor] | None = None) -> list[str]:
    """One to five sentences for a colleague who knows nothing of LLMs; "because" stands for a shown cause only.

    extra: what only the caller knows: how a check was found at fault, what is never asked for.
    known: the parts that were looked at, by their ids, so that a likely one is called by its words.
    """
    match found.verdict:
        case "systematic":
            said = _systematic(found)
        case "bad_luck":
            said = _nothing(found)
        case "not_reproduced":
            said = _not_reproduced(found)
        case "undecided":
            said = _undecided(found, known or {})
        case _:  # what is at fault, the check or the expectation, is the caller's `extra`
            said = []
    if found.hunch is not None and found.hunch.held is not None:
        held = "held: it is part of the cause" if found.hunch.held else "did not hold: it was not found to be a cause"
        said.append(f"The hunch ({found.hunch.factor}) {held}.")
    if found.like is not None:
        said.append(f"This looks like what was found for {found.like.case}.")
    return [s for s in (extra, *said) if s]


def _systematic(found: CauseSection) -> list[str]:
    named = [_called(one) for one in found.factors]
    effect = found.together or found.factors[0].effect
    if found.logic == "and":
        first = f"It fails because of {' and '.join(named)} together; either alone does little harm."
    elif found.logic == "or":
        first = f"It fails because of {' and '.join(named)}: each alone is enough, so both must change."
    elif found.logic == "additive":
        first = f"It fails because of {' and '.join(named)}; each adds to it."
    else:
        first = f"It fails because of {named[0]}."
    it = "that" if len(named) == 1 else "both" if len(named) == 2 else "all of them"
    pairs = counts("pair", effect.n)
    if found.factors[0].kind == "serving":
        word = "less" if found.factors[0].words.endswith(BETTER) else "more"
        return [first, f"In {pairs} of fresh runs, it failed {drop_words(effect)} {word} often there."]
    second = f"In {pairs} of fresh runs side by side, it failed {drop_words(effect)} less often with {it} made neutral."
    return [first, second]


def _nothing(found: CauseSection) -> list[str]:
    looked = len(found.cleared)
    what = (
        f"None of the {looked} parts that were looked at was found to carry the failure"
        if looked > 1
        else (
            "The only part that could be looked at was not found to carry the failure"
            if looked
            else "No part could be looked at"
        )
    )
    seen = found.smallest_visible
    visible = (
        f"; one that adds {whole_points(seen, math.ceil)} points or more would have been seen in {SUCH_SEARCHES}"
        if seen is not None
        else ""
    )
    often = (
        ""
        if found.rate.estimate is None
        else f"It fails {percent(found.rate.estimate)} of the time whatever is changed: "
    )
    return [f"{what}{visible}.", f"{often}as far as this goes, it is chance, not a cause." if often else ""]


def _not_reproduced(found: CauseSection) -> list[str]:
    runs = counts("fresh run", found.rate.n)
    most = percent(found.rate.high, "up")
    seen = f"{found.rate.failures} of {runs} failed (at most {most} do)"
    return [f"It did not come back: {seen}, so there is no cause to find."]


def _undecided(found: CauseSection, known: Mapping[str, NamedFactor]) -> list[str]:
    likely = [
        (_called(known[id]) if id in known else id, share)
        for id, share in found.suspects[:3]
        if share is None or share >= STANDS_OUT
    ]
    if likely:
        told = ", ".join(words if share is None else f"{words}: {percent(share)} likely" for words, share in likely)
        said = f"It is not known yet what carries the failure; likeliest by now: {told}."
    elif found.suspects:
        said = "It is not known yet what carries the failure, and nothing stands out."
    else:
        said = "It is not known yet what carries the failure."
    more = found.calls_needed
    return [said, f"About {counts('more call', more)} would decide." if more else ""]


def sentence_for_doubt(doubt: CheckDoubt) -> str:
    """That the check is at fault, and how that was seen.

    >>> sentence_for_doubt(CheckDoubt(again=24, changed=16, runs=8, turned=6, names=("tone",)))[:52]
    'The check (tone), not the model, is at fault: judged'
    """
    which = f"The check ({', '.join(doubt.names)})" if doubt.names else "The check"
    if doubt.by == "person":
        return (
            f"{which}, not the model, is at fault: of {counts('failing run', doubt.labels)} that a person judged, "
            f"{doubt.right} {'was' if doubt.right == 1 else 'were'} right."
        )
    return (
        f"{which}, not the model, is at fault: judged again, the very same failing answers passed {doubt.changed} "
        f"times out of {doubt.again}."
    )


def _called(one: NamedFactor) -> str:
    """A part as one says it to a colleague, with its id.

    >>> nothing = Est(None, None, None, 0)
    >>> _called(NamedFactor("user.1", "user", "half seven", nothing))
    'the words “half seven” (user.1)'
    >>> _called(NamedFactor("user.1", "user", "next", nothing))
    'the word “next” (user.1)'
    >>> _called(NamedFactor("params.stop", "decoding", 'stop = "."', nothing))
    'the setting stop = "."'
    """
    quoted = f"“{one.words}”"
    root, _, rest = one.id.partition(".")
    if rest == "order" or rest.endswith("wording") or (not rest and root != "model"):
        return f"{one.words} ({one.id})"
    words = "the word" if len(one.words.split()) == 1 else "the words"
    said = {
        "user": f"{words} {quoted} ({one.id})",
        "input": f"{words} {quoted} ({one.id})",
        "system": f"the instruction {quoted} ({one.id})",
        "documents": f"the document {quoted} ({one.id})",
        "examples": f"the example {quoted} ({one.id})",
        "history": f"the earlier turn {quoted} ({one.id})",
        "params": f"the setting {one.words}",
        "model": f"the model {one.words}",
        "serving": f"how it is served: {one.words} ({one.id})",
        "tools": f"the description {quoted} ({one.id})",
        "response": f"the description {quoted} ({one.id})" if rest.endswith("description") else one.words,
    }
    return said.get(root, f"{one.words} ({one.id})")


def drop_words(effect: Est) -> str:
    """A drop as points with its range, which is rounded outward: no end is told closer than it is.

    >>> drop_words(Est(0.333, 0.104, 0.604, 36))
    '33 points (10 to 61)'
    """
    value = effect.value or 0.0
    low, high = effect.low or 0.0, 1.0 if effect.high is None else effect.high
    return f"{whole_points(value)} points ({whole_points(low, math.floor)} to {whole_points(high, math.ceil)})"


def whole_points(rate: float, whole: Callable[[float], float] = round) -> str:
    """A difference of rates in points; small ones keep a decimal.

    >>> whole_points(0.156), whole_points(0.156, math.floor), whole_points(0.861, math.ceil), whole_points(0.034)
    ('16', '15', '87', '3.4')
    """
    size = 10 if 0 < abs(rate) < 0.095 else 1
    shown = whole(round(100 * size * rate, 9)) / size
    return f"{shown:.1f}" if size == 10 else f"{shown:.0f}"
