"""Failing samples grouped by what was observed of them, before any likeness of texts: their facts, counted as they come.

Facts are: which checks failed and why (numbers and quoted values left out of the reason), how the answer ended, what
kind of error came instead, which field a check names, and the first token at which the answer leaves the paths that
passing runs take.  Within one group of facts the same text, to the letter, is counted together; no two texts are ever
called alike.  What is kept does not grow with the number of samples beyond fixed limits.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reroll.check import Outcome, overall
from reroll.evidence import Est, Evidence, interval
from reroll.sample import Completion, Sample
from reroll.tree import steps_of

__all__ = ["Facts", "Group", "Grouping", "Leaving", "Paths", "SameText", "facts_of", "normalised"]

USUAL_ENDS = frozenset({"stop", "end_turn", "tool_calls", "tool_use", "stop_sequence", "eos", "completed", ""})
CUT = frozenset({"length", "max_tokens"})
MOST_FACTS = 2000  # different facts; what comes beyond is one group
MOST_LEAVINGS = 64  # places of one group of facts at which answers leave
MOST_TEXTS = 64  # texts of one group that are counted one by one
KEPT_HASHES = 512  # of texts, to count different ones: exact up to so many
MOST_CASES = 64
LEAST_SHARE = 0.1  # of its group of facts: a place at which fewer leave is no group of its own
COMMON_SHARE = 0.02  # of passing runs: what fewer do is no common path
MOST_NODES = 50_000
DEEPEST = 400  # tokens
BEFORE = 16  # characters before the place that tell one place from another


@dataclass(frozen=True, slots=True)
class Facts:
    """What was observed of one sample that did not pass. Equal facts make a group.

    checks:  (name, reason without its values) of every check that did not pass.
    ended:   the finish reason, where it is none of the usual ones; error: the kind of what came instead of an answer.
    parts:   the fields that reasons name.
    """

    outcome: str
    checks: tuple[tuple[str, str], ...]
    ended: str = ""
    error: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where an answer leaves the common paths of passing ones: `token` after `before`; depth: tokens before it."""

    before: str
    token: str
    depth: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class SameText:
    """One text, white space and capitals aside: how many samples said it, and one of them."""

    text: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """Samples with the same facts. name: in plain words; reason: as the example's check said it.

    share:    of all settled samples, with its interval (true at every look if samples are alike, except with chance alpha);
    of_bad:   of those that did not pass.
    distinct: how many different texts; exact: whether that is counted, or estimated as there are many.
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
    texts: tuple[SameText, ...]
    differs: tuple[str, ...] = ()


# -- facts -------------------------------------------------------------------------------------------------------------

QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|“[^”]*”|`[^`]*`")
NUMBER = re.compile(r"(?<![\w#])[+-]?\d(?:[\d.,:/-]*\d)?(?:[eE][+-]?\d+)?%?")
LISTED = re.compile(r"[\[{(]\s*(?:(?:[“#]…?[”]?|#|null|true|false|…)[\s,:]*)+(?:…)?[\]})]?")
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
    text = QUOTED.sub("“…”", " ".join(reason.split()))
    text = NUMBER.sub("#", text)
    return LISTED.sub("“…”", text)[:200]


def facts_of(sample: Sample, outcomes: Sequence[Outcome]) -> Facts | None:
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
    return Facts(verdict.outcome, checks, _ended(sample.completion), "", parts)


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


# -- where answers leave ------------------------------------------------------------------------------------------------


class Paths:
    """The paths that passing answers take, as a tree of token texts; a path is common if enough of them take it.

    >>> paths = Paths()
    >>> for text in ("on Friday, noon", "on Friday at noon"): paths.add(Completion(text))
    >>> paths.leaving(Completion("on Monday at noon"))
    Leaving(before='on', token=' Monday', depth=1)
    >>> paths.leaving(Completion("on Friday at noon")) is None
    True
    """

    def __init__(self) -> None:
        self.passes = 0
        self._counts = [0]
        self._children: list[dict[str, int]] = [{}]
        self._ends: set[int] = set()

    def add(self, completion: Completion) -> None:
        """A passing answer. Past a fixed number of nodes new paths are no longer taken in."""
        self.passes += 1
        at = 0
        for step in steps_of(completion)[:DEEPEST]:
            below = self._children[at].get(step)
            if below is None:
                if len(self._counts) >= MOST_NODES:
                    return
                below = self._children[at][step] = len(self._counts)
                self._counts.append(0)
                self._children.append({})
            self._counts[below] += 1
            at = below

    def leaving(self, completion: Completion) -> Leaving | None:
        """Where this answer first does what too few passing ones do; None if nowhere, or none has passed."""
        if not self.passes:
            return None
        least = max(1, round(COMMON_SHARE * self.passes))
        at, before = 0, ""
        for depth, step in enumerate(steps_of(completion)[:DEEPEST]):
            below = self._children[at].get(step)
            if below is None or self._counts[below] < least:
                if not self._children[at]:
                    return None  # passing answers end here, or were not followed further
                return Leaving(before[-BEFORE:], step, depth)
            before += step
            at = below
        return None


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
    texts: dict[int, SameText] = field(default_factory=dict)
    distinct: _Distinct = field(default_factory=_Distinct)

    def add(self, id: str, case: str, reason: str, text: str) -> None:
        if not self.count:
            self.example, self.reason = id, reason
        self.same_reason &= reason == self.reason
        self.count += 1
        _tally(self.cases, case, 1, MOST_CASES)
        plain = " ".join(text.split())
        hashed = _hash(plain.casefold())
        self.distinct.add(hashed)
        have = self.texts.get(hashed)
        if have is not None:
            self.texts[hashed] = replace(have, count=have.count + 1)
        elif len(self.texts) < MOST_TEXTS:
            self.texts[hashed] = SameText(plain[:300], 1, id)

    def take(self, other: _Heap) -> None:
        if not self.count:
            self.example, self.reason = other.example, other.reason
        self.same_reason &= other.same_reason and other.reason == self.reason
        self.count += other.count
        for case, n in other.cases.items():
            _tally(self.cases, case, n, MOST_CASES)
        for hashed, one in other.texts.items():
            have = self.texts.get(hashed)
            if have is not None:
                self.texts[hashed] = replace(have, count=have.count + one.count)
            elif len(self.texts) < MOST_TEXTS:
                self.texts[hashed] = one
        for hashed in other.distinct.known:
            self.distinct.add(hashed)
        self.distinct.full |= other.distinct.full


def _tally(counter: Counter[str], name: str, n: int, most: int) -> None:
    if name in counter or len(counter) < most:
        counter[name] += n
    else:
        counter["others"] += n


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


class Grouping:
    """Takes samples one by one, and says at any time what groups they make."""

    def __init__(self) -> None:
        self.seen = Evidence()
        self._counts = [0, 0, 0]
        self._heaps: dict[Facts, dict[Leaving | None, _Heap]] = {}

    def add(self, id: str, case: str, sample: Sample, outcomes: Sequence[Outcome], paths: Paths | None = None) -> None:
        """One settled sample with what its checks say. paths: those of its case's passing answers."""
        facts = facts_of(sample, outcomes)
        self._counts[0] += 1
        if facts is None:
            return
        self._counts[1 if facts.outcome == "fail" else 2] += 1
        if facts not in self._heaps and len(self._heaps) >= MOST_FACTS:
            facts = Facts(facts.outcome, (("", "many other reasons"),))
        heaps = self._heaps.setdefault(facts, {})
        completion = sample.completion
        leaving = paths.leaving(completion) if paths is not None and completion is not None else None
        if leaving is not None and leaving not in heaps and len(heaps) > MOST_LEAVINGS:
            leaving = None
        heap = heaps.setdefault(leaving, _Heap(leaving=leaving))
        verdict = overall(outcomes) if outcomes else None
        reason = sample.error or (verdict.reason if verdict else "no check judges this case")
        heap.add(id, case, reason, _said(sample))

    @property
    def evidence(self) -> Evidence:
        """How many samples came, and how they ended."""
        n, fails, invalid = self._counts
        return Evidence(fails, n, invalid)

    def groups(self, alpha: float = 0.05) -> tuple[Group, ...]:
        """The groups, the largest first."""
        n, fails, invalid = self._counts
        found = []
        for facts, heaps in self._heaps.items():
            found += [(facts, heap, other) for heap, other in _settled(heaps)]
        found.sort(key=lambda one: (-one[1].count, one[0].checks, one[0].error, str(one[1].leaving)))
        return tuple(_group(facts, heap, other, n, fails + invalid, alpha) for facts, heap, other in found)


def _said(sample: Sample) -> str:
    completion = sample.completion
    if completion is None:
        return sample.error or ""
    return completion.text or completion.refusal or repr(completion.tool_calls or "")


def _settled(heaps: dict[Leaving | None, _Heap]) -> list[tuple[_Heap, bool]]:
    """Places at which enough leave, each on its own; the rest together (True where that stands for several places)."""
    total = sum(heap.count for heap in heaps.values())
    own = [h for h in heaps.values() if h.leaving is not None and h.count >= max(2, LEAST_SHARE * total)]
    if len(heaps) == 1:
        own = list(heaps.values())
    small = [h for h in heaps.values() if not any(h is one for one in own)]
    if not small:
        return [(h, False) for h in own]
    rest = _Heap()
    for heap in sorted(small, key=lambda h: -h.count):
        rest.take(heap)
    only_on_paths = all(h.leaving is None for h in small)
    return [*((h, False) for h in own), (rest, not only_on_paths)]


def _group(facts: Facts, heap: _Heap, elsewhere: bool, n: int, bad: int, alpha: float) -> Group:
    low, high = interval(heap.count, n, alpha)
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
        cases=tuple(heap.cases.most_common()),
        texts=tuple(sorted(heap.texts.values(), key=lambda one: (-one.count, one.text))[:3]),
        differs=tuple(_differs(facts, heap, elsewhere)),
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


def _differs(facts: Facts, heap: _Heap, elsewhere: bool) -> list[str]:
    found = []
    if facts.parts:
        found.append(f"field {', '.join(facts.parts)}")
    if facts.ended:
        found.append("cut off at the limit of tokens" if facts.ended in CUT else f"ended by {facts.ended}")
    if heap.leaving is not None:
        before = f" after “…{heap.leaving.before}”" if heap.leaving.before else " at once"
        found.append(f"says “{heap.leaving.token}”{before}, where passing runs go on otherwise")
    elif elsewhere:
        found.append("leaves the passing runs' paths in many places")
    if len(heap.texts) == 1 and not heap.distinct.full and heap.count > 1:
        found.append("always the same text")
    return found
