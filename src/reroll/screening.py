"""The calls of an inquiry into causes: each a request of its own, stored, judged, found again by the same command."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from reroll.answer import OutcomeWord
from reroll.case import Case
from reroll.check import overall
from reroll.factor import Factor
from reroll.inquiry import Ask, Found, Inquiry
from reroll.neutral import neutral_request
from reroll.program import Request
from reroll.runner import draw_at, tell
from reroll.sample import Sample
from reroll.session import Session, Slots, outcomes_of, too_dear

__all__ = ["Screening"]

DOING = {
    "base": "how often does it fail?",
    "map": "what must stay for passing cases to pass?",
    "screen": "which part carries it?",
    "verify": "is it really that part?",
    "together": "one part, or two together?",
}
PROOF = ("verify", "together")  # what is asked of the runs that show it: none that was seen before is among them
KINDS = 4  # ways to make a request neutral: what may be left out is left out, or one of three bland texts
VARIANT = "cause"  # what samples of changed requests are stored under
SUSPICIOUS = 3.0  # standard errors between two ways, from where the worse one is blamed and given up
TELL_EVERY = 0.25  # seconds
ENOUGH = 16  # calls of each way before they are compared


Key = tuple[str, str]  # request, series


class _Run(NamedTuple):
    """One run: its index, so that runs sort by it, its `seq`, and what became of it."""

    idx: int
    seq: int
    outcome: OutcomeWord


@dataclass(slots=True)
class Screening:
    """Where an inquiry's calls go. sessions: by model, the program's own first; series: names the question; left: calls
    that may yet be made; proof: what was suspected beforehand, by which the runs that prove something are told from
    those of another suspicion.

    Nothing is random here but what is drawn from the series' name: the same command makes the same requests again, and
    finds what is stored of them. `finished` is False where a person, a cap or an outage ended it.
    """

    sessions: Mapping[str, Session]
    case: Case
    factors: Sequence[Factor]
    controls: Sequence[Case]
    series: str
    left: Callable[[], int]
    proof: str = ""
    finished: bool = True
    seqs: set[int] = field(default_factory=set)
    as_reported: list[OutcomeWord] = field(default_factory=list)  # outcomes of runs of the request as it was
    _got: dict[Key, list[_Run]] = field(default_factory=dict)  # in the order of drawing
    _used: Counter[Key] = field(default_factory=Counter)
    _asked: int = 0
    _told: float = 0.0
    _numbers: Counter[str] = field(default_factory=Counter)  # of the calls asked for so far, by phase
    _ways: dict[bool, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))  # failures, calls

    @property
    def session(self) -> Session:
        return next(iter(self.sessions.values()))

    async def run(
        self, inquiry: Inquiry, *, bland: bool | None = None, until: Callable[[], bool] = lambda: False
    ) -> Found:
        """Make the calls that the inquiry asks for until it is done, or none may be made any more; or `until` something
        else is to be looked at first: then the same inquiry goes on later.

        With both ways in turn it ends early where one of them makes the request fail by itself (`worse_way`).

        bland: whether parts are replaced by bland text (True) or left out (False); None: both in turn.
        Raises: ModelError, NotCompleted: calls stopped coming back; what was drawn is stored.
        """
        while asks := inquiry.next():
            session = self.session
            self._tell(inquiry, asks[0])
            outcomes = await self.outcomes(asks, bland)
            for ask, outcome in zip(asks, outcomes, strict=True):
                if outcome is not None:
                    inquiry.add(ask, outcome)
            if None in outcomes or session.stopped:
                if self.left() <= 0 and not session.stopped:
                    inquiry.cede(inquiry.left)
                self.finished = inquiry.done
                break
            if (bland is None and self.worse_way is not None) or until():
                break
        return inquiry.found()

    @property
    def worse_way(self) -> bool | None:
        """Whether bland texts (True) or leaving out (False) make it fail by themselves; None: neither, as far as seen.

        Compared over screening calls, whose designs are drawn alike for both.
        """
        (out_fails, out_n), (text_fails, text_n) = self._ways[False], self._ways[True]
        if min(out_n, text_n) < ENOUGH:
            return None
        share = (out_fails + text_fails + 1) / (out_n + text_n + 2)
        error = math.sqrt(share * (1 - share) * (1 / out_n + 1 / text_n))
        z = (text_fails / text_n - out_fails / out_n) / error
        return z > 0 if abs(z) > SUSPICIOUS else None

    # ---------------------------------------------------------------- calls

    async def outcomes(self, asks: Sequence[Ask], bland: bool | None) -> list[OutcomeWord | None]:
        """What came of each call, None where it was not made."""
        ways = [self._way(ask, bland) for ask in asks]
        places = [self._place(ask, way) for ask, way in zip(asks, ways, strict=True)]
        wanted = Counter(key_of(at) for _, at in places)
        once = {key_of(at): (session, at) for session, at in places}
        new = [one for id, one in once.items() if id not in self._got]
        sent = [(at.request_id, at.request, s.model.identity) for s, at in new if at.request is not None]
        self.session.store.put_requests(sent)
        self.session.spent.reused += self._read(at for _, at in new)
        room = max(0, self.left())
        missing: dict[str, tuple[Session, list[tuple[Slots, int]]]] = {}
        for id, count in wanted.items():
            lacking = min(room, count - (len(self._got[id]) - self._used[id]))
            if lacking > 0:
                room -= lacking
                session, at = once[id]
                missing.setdefault(session.model.identity, (session, []))[1].append((at, lacking))
        if missing and not (too_dear(self.session) or self.session.spent.out_of_time()):
            for session, lacks in missing.values():
                await draw_at(session, lacks)
            self._read(at for _, lacks in missing.values() for at, _ in lacks)
        return [self._take(at, ask, way) for ask, way, (_, at) in zip(asks, ways, places, strict=True)]

    def _take(self, at: Slots, ask: Ask, way: int) -> OutcomeWord | None:
        runs, k = self._got[key_of(at)], self._used[key_of(at)]
        if k >= len(runs):
            return None
        self._used[key_of(at)] += 1
        run = runs[k]
        if ask.on == "case":
            self.seqs.add(run.seq)
            if not ask.neutral:
                self.as_reported.append(run.outcome)
        if ask.phase == "screen" and run.outcome != "invalid" and self._differ(ask):
            ways = self._ways[way > 0]
            ways[0] += run.outcome == "fail"
            ways[1] += 1
        return run.outcome

    def _differ(self, ask: Ask) -> bool:
        """Whether the two ways make another request of this design."""
        return any(len(self.factors[i].levels) > 1 and self.factors[i].levels[0].how == "out" for i in ask.neutral)

    def _read(self, places: Iterable[Slots]) -> int:
        """Take in, judged, what is stored of these requests by now; how many runs were not there before.

        The series' name covers the checks, so no run here can be older than a check that was written to fit it.
        """
        at = {key_of(place): place for place in places}
        for key in at:
            self._got.setdefault(key, [])
        known = {run.seq for key in at for run in self._got[key]}
        found = []
        for series in dict.fromkeys(series for _, series in at):
            ids = [id for id, name in at if name == series]
            found += [one for one in self.session.store.of_requests(ids, series) if one.seq not in known]
        by_case: dict[str, dict[str, Sample]] = defaultdict(dict)
        for one in found:
            by_case[at[one.request_id, one.series].case.id][one.id] = one.sample
        words: dict[str, OutcomeWord] = {}
        for place in at.values():
            if samples := by_case.pop(place.case.id, None):
                said = outcomes_of(self.session, place, samples)
                words |= {id: overall(each).outcome for id, each in said.items()}
        for one in found:
            self._got[one.request_id, one.series].append(_Run(one.idx, one.seq, words[one.id]))
        for key in at:
            self._got[key].sort()
        return len(found)

    def _place(self, ask: Ask, way: int) -> tuple[Session, Slots]:
        case = self.case if ask.on == "case" else self.controls[self._asked % len(self.controls)]
        self._asked += 1
        if (other := self._lookalike(ask)) is not None:
            case, request = other, self.session.project.program.render(other.input, other.history)
        else:
            request = self.request(case, ask, way)
        session = self.sessions[request.model]
        # Cases may send the same request, and each is judged by its own checks.
        id = request.id(f"{session.model.identity}#{case.id}" if case is not self.case else session.model.identity)
        series = " ".join((self.series, "proof", self.proof)).rstrip() if ask.phase in PROOF else self.series
        return session, Slots(case, id, series, ask.on == "control", True, request, VARIANT)

    def _lookalike(self, ask: Ask) -> Case | None:
        """The case that stands in for this one, with its own checks, where that is what the factor means."""
        ids = {self.factors[i].place[1] for i in ask.neutral if self.factors[i].place[0] == "lookalike"}
        return next((case for case in self.session.project.cases if case.id in ids), None)

    def request(self, case: Case, ask: Ask, way: int) -> Request:
        """The request of one call: parts of other cases' own text are left alone."""
        parts = [self.factors[i] for i in sorted(ask.neutral)]
        chosen = [(f, level_of(f, way, k)) for k, f in enumerate(parts) if f.shared or case is self.case]
        return neutral_request(self.session.project.program, case.input, case.history, chosen)

    def _way(self, ask: Ask, bland: bool | None) -> int:
        """0: what may be left out is left out; 1 to 3: bland texts. The calls of one block are made alike."""
        number = self._asked_so_far(ask)
        digest = hashlib.blake2b(f"{self.series} {ask.phase} {number}".encode(), digest_size=4).digest()
        drawn = int.from_bytes(digest)
        if bland is None:
            bland = bool(drawn & 1)
        return 1 + (drawn >> 1) % (KINDS - 1) if bland else 0

    def _asked_so_far(self, ask: Ask) -> int:
        if ask.pair is not None:
            return ask.pair
        self._numbers[ask.phase] += 1
        return self._numbers[ask.phase]

    def _tell(self, inquiry: Inquiry, ask: Ask) -> None:
        now = time.monotonic()
        if now - self._told < TELL_EVERY:  # intervals take longer than most of what is done here
            return
        self._told = now
        session = self.session
        tell(
            session,
            self.case.id,
            inquiry.found().base,
            DOING[ask.phase],
            session.options.budget,
            calls=session.spent.samples,
            controls=ask.on == "control",
        )


def key_of(at: Slots) -> Key:
    return at.request_id, at.series


def level_of(factor: Factor, way: int, k: int) -> int:
    """Which of a factor's levels stands for this way; the k-th part of a request gets the k-th of the bland texts."""
    levels = factor.levels
    if levels[0].how != "out" or len(levels) == 1:
        return way + k
    return 0 if way == 0 else 1 + (way - 1 + k) % (len(levels) - 1)
