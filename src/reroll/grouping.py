"""Failing samples grouped by what was observed of them, before any likeness of texts: facts, counted as they come.

Facts are: which checks failed and why (numbers and quoted values left out of the reason), how the answer ended, what
kind of error came instead, which field a check names, which tool was called last, and the first token at which the
answer leaves the paths that passing runs take.  Within one group of facts the same text, to the letter, is counted
together; no two texts are ever called alike.  What is kept has fixed limits, however many samples come.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reroll.check import Outcome, overall
from reroll.evidence import Est, Evidence, interval
from reroll.leaving import Leaving, Paths
from reroll.numbers import counts
from reroll.sample import Completion, Sample, function_of

__all__ = ["Facts", "Group", "Grouping", "Observed", "SameText", "facts_of", "normalised"]

Messages = Sequence[Mapping[str, Any]]

USUAL_ENDS = frozenset({"stop", "end_turn", "tool_calls", "tool_use", "stop_sequence", "eos", "completed", ""})
CUT = frozenset({"length", "max_tokens"})
MOST_FACTS = 2000  # different facts; what comes beyond is one group
MOST_LEAVINGS = 64  # places of one group of facts at which answers leave
MOST_TEXTS = 64  # texts of one group that are counted one by one
KEPT_HASHES = 512  # of texts, to count different ones: exact up to so many
MOST_NAMES = 1000  # cases, and variants, of one group that are counted one by one
OTHERS = "others"
LEAST_SHARE = 0.1  # of its group of facts: a place at which fewer leave is no group of its own


@dataclass(frozen=True, slots=True)
class Facts:
    """What was observed of one sample that did not pass. Equal facts make a group.

    checks:  (name, reason without its values) of every check that did not pass.
    ended:   the finish reason, where it is none of the usual ones; error: the kind of what came instead of an answer.
    parts:   the fields that reasons name; tool: the one that was called last, in the answer or recorded conversation.
    """

    outcome: str
    checks: tuple[tuple[str, str], ...]
    ended: str = ""
    error: str = ""
    parts: tuple[str, ...] = ()
    tool: str = ""


_MANY = Leaving("", "\x00many")  # stands for places that were too many to be counted one by one


@dataclass(frozen=True, slots=True)
class SameText:
    """One text, white space and capitals aside: how many samples said it, and one of them."""

    text: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """Samples with the same facts. name: in plain words; reason: as the example's check said it.

    share:    of all settled samples, with its interval (true at every look if samples are alike, but for alpha); None
              and None where samples of several variants or requests came: their mixture is of nothing that has a rate;
    of_bad:   of those that did not pass.
    distinct: how many different texts; exact: whether that is counted, or estimated as there are many.
    cases, variants: how many of it in each, the most first. passes_so: passing samples that ended the same way and
              called the same tool last; None where that is nothing special.
    differs:  what sets it apart, in words. leaving: None where it takes passing paths, or leaves them in many places.
    """

    name: str
    outcome: str
    count: int
    share: Est
    of_bad: float
    example: str
    reason: str
    facts: Facts
    leaving: Leaving | None
    elsewhere: bool
    distinct: int
    exact: bool
    cases: tuple[tuple[str, int], ...]
    variants: tuple[tuple[str, int], ...]
    passes_so: int | None
    texts: tuple[SameText, ...]
    differs: tuple[str, ...] = ()


# -- facts -------------------------------------------------------------------------------------------------------------

QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|“[^”]*”|`[^`]*`")
NUMBER = re.compile(r"(?<![\w#])[+-]?\d(?:[\d.,:/-]*\d)?(?:[eE][+-]?\d+)?%?")
INDEX = re.compile(r"(?<=\w)\[\d+\]")
LISTED = re.compile(r"(?<!\w)[\[{(]\s*(?:(?:[“#]…?[”]?|#|null|true|false|…)[\s,:]*)+(?:…)?[\]})]?")
PART = re.compile(r"(?:^|but |arguments of )((?:\w+|\[\d+\])(?:\.\w+|\[\d+\])*) (?:is|are|should|has|must)\b")
NO_PART = frozenset({"it", "the", "this", "answer", "text", "nothing", "value", "what", "which", "there", "check"})
HTTP = re.compile(r"^(http \d{3})\b")


def normalised(reason: str) -> str:
    """A reason without the values in it, so that the same kind of mistake reads the same.

    >>> normalised('date is "2026-11-20", expected "2026-11-27"')
    'date is “…”, expected “…”'
    >>> normalised("attendees is ['Ana', 'Ben'], expected ['Ana']"), normalised("duration_min is 45, expected 60")
    ('attendees is “…”, expected “…”', 'duration_min is #, expected #')
    """
    text = INDEX.sub("[]", QUOTED.sub("“…”", " ".join(reason.split())))
    text = NUMBER.sub("#", text)
    return LISTED.sub("“…”", text)[:200]


def facts_of(sample: Sample, outcomes: Sequence[Outcome], conversation: Messages = ()) -> Facts | None:
    """What was observed of a sample, given what its checks say; None where it passed.

    >>> wrong = Outcome("fail", 'date is "2026-11-20", expected "2026-11-27"', "right-date")
    >>> facts_of(Sample(Completion('{"date": "2026-11-20"}')), [wrong]).parts
    ('date',)
    """
    verdict = overall(outcomes) if outcomes else Outcome("invalid", sample.error or "no check judges this case")
    if verdict.outcome == "pass":
        return None
    if sample.error is not None:
        return Facts(verdict.outcome, (), error=_error_kind(sample.error))
    bad = [one for one in outcomes if one.outcome != "pass"] or [verdict]
    checks = tuple(dict.fromkeys((one.check, normalised(one.reason)) for one in bad))
    parts = tuple(dict.fromkeys(part for one in bad if (part := _part(one.reason))))
    return Facts(verdict.outcome, checks, _ended(sample.completion), "", parts, _last_tool(sample, conversation))


def _last_tool(sample: Sample, conversation: Messages) -> str:
    calls: Sequence[Any] = sample.completion.tool_calls if sample.completion is not None else ()
    if sample.completion is None:
        calls = [call for message in conversation for call in message.get("tool_calls") or ()]
    if not calls:
        return ""
    called = calls[-1]
    return str(function_of(called).get("name") or "") if isinstance(called, Mapping) else ""


def _ended(completion: Completion | None) -> str:
    if completion is None:
        return ""
    if completion.refusal:
        return "refusal"
    return "" if completion.finish_reason in USUAL_ENDS else completion.finish_reason


def _error_kind(error: str) -> str:
    match = HTTP.match(error)
    return match[1] if match else normalised(error.split(":")[0])[:60]


def _part(reason: str) -> str:
    match = PART.search(reason)
    if match is None or match[1].lower() in NO_PART:
        return ""
    return re.sub(r"\[\d+\]", "[]", match[1])


@dataclass(frozen=True, slots=True)
class Observed:
    """One settled sample with what its checks say. conversation: the messages, where they are all that was recorded;
    request: what was sent, where samples of another request are another matter."""

    id: str
    case: str
    sample: Sample
    outcomes: tuple[Outcome, ...]
    variant: str = "baseline"
    conversation: Messages = ()
    request: str = ""


# -- groups ------------------------------------------------------------------------------------------------------------


class _Distinct:
    """How many different texts there are: by their hashes, exactly up to a limit, then from the smallest of them."""

    def __init__(self) -> None:
        self.smallest: list[int] = []  # a heap of negated hashes
        self.known: set[int] = set()
        self.full = False

    def add(self, hashed: int) -> None:
        if hashed in self.known:
            return
        if len(self.known) < KEPT_HASHES:
            heapq.heappush(self.smallest, -hashed)
        elif hashed < -self.smallest[0]:
            self.known.discard(-heapq.heappushpop(self.smallest, -hashed))
            self.full = True
        else:
            self.full = True
            return
        self.known.add(hashed)

    def count(self) -> int:
        """Source: k minimum values, Bar-Yossef et al. 2002, unbiased form of Beyer et al. 2007."""
        if not self.full:
            return len(self.known)
        return max(KEPT_HASHES, round((KEPT_HASHES - 1) * (1 << 64) / (-self.smallest[0] + 1)))


@dataclass(slots=True)
class _Heap:
    """What is counted of one group."""

    count: int = 0
    example: str = ""
    reason: str = ""
    same_reason: bool = True
    leaving: Leaving | None = None
    cases: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    texts: dict[int, SameText] = field(default_factory=dict)
    distinct: _Distinct = field(default_factory=_Distinct)

    def add(self, of: Observed, reason: str, text: str) -> None:
        if not self.count:
            self.example, self.reason = of.id, reason
        self.same_reason &= reason == self.reason
        self.count += 1
        _tally(self.cases, of.case, 1)
        _tally(self.variants, of.variant, 1)
        plain = " ".join(text.split())
        hashed = _hash(plain.casefold())
        self.distinct.add(hashed)
        have = self.texts.get(hashed)
        if have is not None:
            self.texts[hashed] = replace(have, count=have.count + 1)
        elif len(self.texts) < MOST_TEXTS:
            self.texts[hashed] = SameText(plain[:300], 1, of.id)

    def take(self, other: _Heap) -> None:
        if not self.count:
            self.example, self.reason = other.example, other.reason
        self.same_reason &= other.same_reason and other.reason == self.reason
        self.count += other.count
        for mine, theirs in ((self.cases, other.cases), (self.variants, other.variants)):
            for name, n in theirs.items():
                _tally(mine, name, n)
        for hashed, one in other.texts.items():
            have = self.texts.get(hashed)
            if have is not None:
                self.texts[hashed] = replace(have, count=have.count + one.count)
            elif len(self.texts) < MOST_TEXTS:
                self.texts[hashed] = one
        for hashed in other.distinct.known:
            self.distinct.add(hashed)
        self.distinct.full |= other.distinct.full


def _tally(counter: Counter[str], name: str, n: int) -> None:
    counter[name if name in counter or len(counter) < MOST_NAMES else OTHERS] += n


def _most_first(counter: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counter.items(), key=lambda one: (one[0] == OTHERS, -one[1], one[0])))


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


class Grouping:
    """Takes samples one by one, and says at any time what groups they make."""

    def __init__(self) -> None:
        self.seen = Evidence()
        self._counts = [0, 0, 0]
        self._heaps: dict[Facts, dict[Leaving | None, _Heap]] = {}
        self._passed: Counter[str] = Counter()  # by the way they ended
        self._kinds: set[tuple[str, str]] = set()  # variants and requests that came, two at most

    def add(self, of: Observed, paths: Paths | None = None) -> None:
        """One settled sample. paths: those of passing answers to the same request."""
        sample, outcomes = of.sample, of.outcomes
        facts = facts_of(sample, outcomes, of.conversation)
        self._counts[0] += 1
        if len(self._kinds) < 2:
            self._kinds.add((of.variant, of.request))
        if facts is None:
            _tally(self._passed, _way(_ended(sample.completion), _last_tool(sample, of.conversation)), 1)
            return
        self._counts[1 if facts.outcome == "fail" else 2] += 1
        if facts not in self._heaps and len(self._heaps) >= MOST_FACTS:
            facts = Facts(facts.outcome, (("", "many other reasons"),))
        heaps = self._heaps.setdefault(facts, {})
        completion = sample.completion
        leaving = paths.leaving(completion) if paths is not None and completion is not None else None
        if leaving not in heaps and len(heaps) > MOST_LEAVINGS:
            _make_room(heaps)
        heap = heaps.setdefault(leaving, _Heap(leaving=leaving))
        verdict = overall(outcomes) if outcomes else None
        reason = sample.error or (verdict.reason if verdict else "no check judges this case")
        heap.add(of, reason, _said(of))

    @property
    def evidence(self) -> Evidence:
        """How many samples came, and how they ended."""
        n, fails, invalid = self._counts
        return Evidence(fails, n, invalid)

    @property
    def mixed(self) -> bool:
        """Whether samples of several variants or requests came."""
        return len(self._kinds) > 1

    def groups(self, alpha: float = 0.05) -> tuple[Group, ...]:
        """The groups, the largest first."""
        n, fails, invalid = self._counts
        found = []
        for facts, heaps in self._heaps.items():
            found += [(facts, heap, other) for heap, other in _settled(heaps)]
        found.sort(key=lambda one: (-one[1].count, one[0].checks, one[0].error, str(one[1].leaving)))
        special = {facts: _way(facts.ended, facts.tool) for facts in self._heaps if facts.ended or facts.tool}
        so = {facts: self._passed[way] for facts, way in special.items()}
        ranged = None if self.mixed else alpha
        return tuple(
            _group(facts, heap, other, (n, fails + invalid), so.get(facts), ranged) for facts, heap, other in found
        )


def _make_room(heaps: dict[Leaving | None, _Heap]) -> None:
    """Take the rarest half of the places together: so what is common stays, whatever else there is."""
    many = heaps.setdefault(_MANY, _Heap(leaving=_MANY))
    places = [key for key in heaps if key is not None and key != _MANY]
    for key in sorted(places, key=lambda key: heaps[key].count)[: len(places) // 2]:
        many.take(heaps.pop(key))


def _way(ended: str, tool: str) -> str:
    return f"{ended}\n{tool}"


def _said(of: Observed) -> str:
    completion = of.sample.completion
    if completion is None:
        said = [m.get("content") for m in of.conversation if m.get("role") == "assistant" and m.get("content")]
        return of.sample.error or (str(said[-1]) if said else "")
    return completion.text or completion.refusal or repr(completion.tool_calls or "")


def _settled(heaps: dict[Leaving | None, _Heap]) -> list[tuple[_Heap, bool]]:
    """Places at which enough leave, each on its own; the rest together (True where that stands for several places)."""
    total = sum(heap.count for heap in heaps.values())
    places = [h for h in heaps.values() if h.leaving is not None and h.leaving != _MANY]
    own = [h for h in places if h.count >= max(2, LEAST_SHARE * total)]
    if len(heaps) == 1 and _MANY not in heaps:
        own = list(heaps.values())
    small = [h for h in heaps.values() if not any(h is one for one in own)]
    if not small:
        return [(h, False) for h in own]
    rest = _Heap()
    for heap in sorted(small, key=lambda h: -h.count):
        rest.take(heap)
    only_on_paths = all(h.leaving is None for h in small)
    return [*((h, False) for h in own), (rest, not only_on_paths)]


def _group(
    facts: Facts, heap: _Heap, elsewhere: bool, of: tuple[int, int], so: int | None, alpha: float | None
) -> Group:
    n, bad = of
    low, high = (None, None) if alpha is None else interval(heap.count, n, alpha)
    return Group(
        name=_name(facts, heap),
        outcome=facts.outcome,
        count=heap.count,
        share=Est(heap.count / n, low, high, n),
        of_bad=heap.count / bad,
        example=heap.example,
        reason=heap.reason,
        facts=facts,
        leaving=heap.leaving,
        elsewhere=elsewhere,
        distinct=heap.distinct.count(),
        exact=not heap.distinct.full,
        cases=_most_first(heap.cases),
        variants=_most_first(heap.variants),
        passes_so=so,
        texts=tuple(sorted(heap.texts.values(), key=lambda one: (-one.count, one.text))[:3]),
        differs=tuple(_differs(facts, heap, elsewhere, so)),
    )


def _name(facts: Facts, heap: _Heap) -> str:
    if facts.error:
        return f"no answer: {facts.error}"
    if heap.same_reason and len(facts.checks) == 1 and heap.count > 1:
        said = [(facts.checks[0][0], heap.reason)]
    else:
        said = list(facts.checks)
    named = "; ".join(f"{check}: {reason}" if check else reason for check, reason in said)
    if facts.ended == "refusal" and "refused" not in named:
        named += " (refused)"
    return named


def _differs(facts: Facts, heap: _Heap, elsewhere: bool, so: int | None) -> list[str]:
    found = []
    if facts.parts:
        found.append(f"field {', '.join(facts.parts)}")
    if facts.ended:
        found.append("cut off at the limit of tokens" if facts.ended in CUT else f"ended by {facts.ended}")
    if facts.tool:
        found.append(f"the last tool called is {facts.tool}")
    if so is not None:
        found.append(f"as did {counts('passing sample', so)}" if so else "which no passing sample did")
    if heap.leaving is not None:
        before = f" after “…{heap.leaving.before}”" if heap.leaving.before else " at once"
        found.append(f"says “{heap.leaving.token}”{before}, where passing runs go on otherwise")
    elif elsewhere:
        found.append("leaves the passing runs' paths in many places")
    if len(heap.texts) == 1 and next(iter(heap.texts.values())).text and not heap.distinct.full and heap.count > 1:
        found.append("always the same text")
    return found
