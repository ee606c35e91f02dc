"""All that one command works with: its options, what it has spent, its store and model, and the runs that count."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from reroll.answer import Cost, Price, ProgressEvent
from reroll.at_hand import AtHand, Place, judges_at_once
from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.checking import Checker
from reroll.engine import Engine, run_draws
from reroll.errors import ModelError, UsageError
from reroll.models.choices import choices_of
from reroll.models.model import Model
from reroll.models.stepped import calls_at_most
from reroll.program import Program, Request
from reroll.project import Project
from reroll.purse import Purse
from reroll.replies import Replies
from reroll.runs import PAGE, Judged, Room, Runs
from reroll.sample import Sample
from reroll.store import Store, StoredSample

__all__ = [
    "Options",
    "Session",
    "Slots",
    "Spent",
    "checks_of",
    "exploratory",
    "judged",
    "one_a_call",
    "outcomes_of",
    "seed_of",
    "series_of",
    "slots",
    "too_dear",
]

OPEN_ENDED = "open"

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Options:
    """What a command was asked for. `budget` and `horizon` in samples, `max_usd` in dollars, `max_seconds` from the
    first call on; None: no such cap. `method` auto: a verdict may be read from the model's own probabilities."""

    alpha: float = 0.05
    budget: int = 400
    control_share: float = 0.25
    horizon: int | None = None
    max_usd: float | None = None
    seed: int | None = None
    concurrency: int | None = None
    max_seconds: float | None = None
    method: Literal["auto", "sampling"] = "auto"


@dataclass(slots=True)
class Spent:
    """What this command has used so far. `usd` is None once one draw's price is not known.

    A call is one request with its tries, a sample what settles one slot: a call that asks for several completions
    (n) is one call and as many samples. Budgets are held against `samples`.
    """

    calls: int = 0
    control_calls: int = 0
    attempts: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    usd: float | None = 0.0
    cached_tokens: int | None = 0
    samples: int = 0
    reused: int = 0
    judge_calls: int = 0
    started: float = field(default_factory=time.monotonic)
    purse: Purse | None = None  # where a cap on money was set
    free: bool = False  # every model runs here: no call costs anything
    ends: float | None = None  # when the time is up, by `time.monotonic`; known from the first call on
    cut_short: bool = False  # the time was up while more was to be drawn
    own: set[str] = field(default_factory=set)  # draws of searches that it made, or counted as reused: each once

    def found(self, ids: Iterable[str]) -> None:
        """Count draws of a search that are found again, but for those that this command made itself."""
        new = set(ids) - self.own
        self.reused += len(new)
        self.own |= new

    def add(self, sample: Sample, control: bool) -> None:
        """Count one draw: its calls, and its sample with the siblings. Steps around a model may make several calls
        of one draw, or none."""
        self.calls += 0 if control else sample.calls
        self.control_calls += sample.calls if control else 0
        self.attempts += max(sample.calls, len(sample.attempts))
        for one in (sample, *sample.siblings):
            self.samples += 1
            self._used(one)
        self._paid(sample)

    def add_judging(self, sample: Sample) -> None:
        """Count one call of a judge: no sample of the case, but paid for like one."""
        self.judge_calls += sample.calls
        self.attempts += max(sample.calls, len(sample.attempts))
        self._used(sample)
        self._paid(sample)

    def _used(self, one: Sample) -> None:
        self.prompt_tokens = _plus(self.prompt_tokens, one.usage.prompt_tokens, one)
        self.completion_tokens = _plus(self.completion_tokens, one.usage.completion_tokens, one)
        self.usd = _plus(self.usd, one.usage.usd, one)
        self.cached_tokens = _plus(self.cached_tokens, one.usage.cached_tokens, one)

    def _paid(self, sample: Sample) -> None:
        if self.purse is not None:
            unknown = sample.usage.usd is None and sample.completion is not None
            self.purse.add(sample.usage.usd, unknown=unknown, calls=sample.calls)

    def begin(self, max_seconds: float | None) -> float | None:
        """The time by `time.monotonic` at which no draw may start any more; counted from the first call of this."""
        if self.ends is None and max_seconds is not None:
            self.ends = time.monotonic() + max_seconds
        return self.ends

    def price(self, calls: int) -> Price:
        """So many more calls, each at the mean price of those that this command made; not known before the first,
        but where calls cost nothing."""
        made = self.calls + self.control_calls
        if self.usd is None or not (made or self.free):
            return Price(calls, None)
        return Price(calls, self.usd / made * calls if made else 0.0)

    def out_of_time(self) -> bool:
        """Whether the time is up. To be asked where more is to be drawn: that it was prevented is written down."""
        over = self.ends is not None and time.monotonic() >= self.ends
        self.cut_short |= over
        return over

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def carry(self, before: Cost) -> None:
        """Count what an earlier part of the same command took."""
        self.calls += before.calls
        self.attempts += before.attempts
        self.samples += before.samples
        self.reused += before.reused
        self.judge_calls += before.judge_calls
        self.started -= before.seconds
        for name in ("prompt_tokens", "completion_tokens", "usd", "cached_tokens"):
            was, now = getattr(before, name), getattr(self, name)
            setattr(self, name, None if was is None or now is None else was + now)

    def cost(self) -> Cost:
        """What was used so far, as an answer shows it."""
        return Cost(
            calls=self.calls,
            control_calls=self.control_calls,
            attempts=self.attempts,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            usd=self.usd,
            seconds=round(self.seconds, 3),
            reused=self.reused,
            cached_tokens=self.cached_tokens,
            samples=self.samples,
            judge_calls=self.judge_calls,
        )


def _plus(total: N | None, more: N | None, sample: Sample) -> N | None:
    """The sum, None once unknown; a draw that brought nothing back adds nothing."""
    if more is None:
        return total if sample.completion is None else None
    return None if total is None else total + more


def _answered() -> deque[float]:
    return deque(maxlen=1024)


@dataclass(slots=True)
class Session:
    """All that one command works with."""

    project: Project
    store: Store
    model: Model
    checker: Checker
    options: Options
    notify: Callable[[ProgressEvent], None] = lambda event: None
    spent: Spent = field(default_factory=Spent)
    silent: list[list[str]] = field(default_factory=list)  # the last calls in a row without a completion: their ids
    got_through: bool = False  # whether any call of this command brought a completion
    made: int = 0  # calls that this session settled; `spent` may be shared with other variants
    longest: float = 0.0  # seconds that its slowest answer took, our own waits apart
    answered: deque[float] = field(default_factory=_answered)  # when those were sent whose answers came last
    copies: int = 0  # the last calls in a row whose answer had come before
    fresh: bool = False  # start every case's series anew
    started: dict[tuple[str, str], str] = field(default_factory=dict)  # series in use, by request and kind
    since: int = 0  # `seq` of the reported sample: it and what came before were known to the reporter
    stopped: bool = False  # a person asked to stop
    drawing: set[asyncio.Future[int]] = field(default_factory=set)  # what is in flight, so that it can be stopped
    older: dict[tuple[str, ...], int] = field(default_factory=dict)  # by place and checks: see _last_older
    variant: str = "baseline"  # what its samples are stored under
    yardstick: Program | None = None  # whose response schema answers are held to, if not the program's own
    engine: Engine = run_draws  # where its draws are made
    room: Room = field(default_factory=Room)  # for whole runs in memory
    at_hand: AtHand = field(default_factory=AtHand)  # what was stored a moment ago
    replies: Replies = field(default_factory=Replies)  # answers that came before, by the server's name for them
    exhausted: ModelError | None = None  # a recording has no more rows: an end like a budget's
    beside: list[Session] = field(default_factory=list)  # made from this one by `like`: what stops it stops them

    def like(self, **changes: Any) -> Session:
        """This session with another model, variant or options. It spends what this one does and stops with it, and
        keeps count of its own whether its model answers."""
        anew: dict[str, Any] = {"silent": [], "drawing": set(), "beside": [], "got_through": False, "exhausted": None}
        other = replace(self, **{**anew, "made": 0, "longest": 0.0, "answered": _answered(), "copies": 0, **changes})
        self.beside.append(other)
        return other

    @property
    def judging(self) -> Program:
        """The program whose response schema answers are held to: for all variants of a comparison the first one's."""
        return self.yardstick or self.project.program

    @property
    def left(self) -> int:
        """Samples that the budget still allows."""
        return self.options.budget - self.spent.samples

    @property
    def per_call(self) -> int:
        """How many samples each call brings: more than one where the program asks for several completions (n)."""
        return choices_of(self.model, self.project.program.sampling)

    @property
    def unit(self) -> str:
        """What a budget counts, in a word: calls, or samples where these are not the same."""
        return "call" if self.per_call == calls_at_most(self.model) == 1 else "sample"

    async def until_done(self, drawing: asyncio.Future[int]) -> None:
        """Wait for draws under way. A person who stops ends them early, which is no error."""
        self.drawing.add(drawing)
        try:
            await drawing
        except asyncio.CancelledError:
            if not self.stopped:
                raise
        finally:
            self.drawing.discard(drawing)

    def runs(self, case: Case) -> Runs:
        """What is stored of a case by now, judged, in the order of drawing."""
        return judged(self, slots(self, case))


@dataclass(frozen=True, slots=True)
class Slots:
    """Where one case's draws are kept: the request's id, the series, and what names them.

    `whole`: every draw of the series counts, whatever the command's horizon and report. `request` is what these draws
    send, None: the program's own for this case; `variant`: what they are stored under, if not the session's.
    """

    case: Case
    request_id: str
    series: str
    control: bool
    whole: bool
    request: Request | None = None
    variant: str | None = None


def slots(
    session: Session,
    case: Case,
    *,
    control: bool = False,
    series: str | None = None,
    request: Request | None = None,
    variant: str | None = None,
) -> Slots:
    """The place of a case's draws. A declared horizon has a series of its own: it starts from zero.

    `series` names another one, for draws that belong to a question of their own; `request` is sent by them instead
    of what the program makes of the case, and has an id and so slots of its own; they are stored under `variant`.
    """
    sent = request or session.project.program.render(case.input, case.history)
    request_id = sent.id(
        f"{session.model.identity}#{case.id}" if _keyed_by_case(session.model) else session.model.identity
    )
    session.store.put_request(request_id, sent, session.model.identity)
    horizon = None if control else session.options.horizon
    base = series or (OPEN_ENDED if horizon is None else f"horizon-{horizon}")
    name = base if control else _series(session, request_id, base)
    whole = control or series is not None
    return Slots(case, request_id, name, control, whole, request, variant)


def one_a_call(session: Session, why: str) -> None:
    """Raises: UsageError where a call brings several samples, and the question takes them one by one."""
    if session.per_call > 1:
        raise UsageError(
            f"`n` brings {session.per_call} samples a call, and {why}; take `n` out of the program's params",
            slug="several",
        )


def series_of(places: Sequence[Slots]) -> str:
    """What names a test over several cases: one that goes on has the same name, one from zero another."""
    first = places[0]
    return first.series.replace(f" {first.case.id}", "", 1)


def _series(session: Session, request_id: str, base: str) -> str:
    """The newest series of this kind; with `fresh` one more, once a command: a test that starts from zero.

    A recording has nothing fresh to give: its rows are drawn once.
    """
    known = session.started.get((request_id, base))
    if known is None:
        tries = 1
        while session.store.reserved(request_id, _nth(base, tries + 1)):
            tries += 1
        fresh = session.fresh and not _keyed_by_case(session.model)
        if fresh and session.store.reserved(request_id, _nth(base, tries)):
            tries += 1
        known = session.started[request_id, base] = _nth(base, tries)
    return known


def _nth(base: str, tries: int) -> str:
    return base if tries == 1 else f"{base}.{tries}"


def _keyed_by_case(model: Model) -> bool:
    """Recorded completions belong to their case, whatever the request says."""
    return model.name.startswith("recorded:")


def judged(session: Session, at: Slots, so_far: Runs | None = None) -> Runs:
    """Every draw that counts, in the order of drawing, judged; outcomes that were missing are stored.

    Counts: drawn by reroll (never the reported run, nor what came before it) after its checks were
    known. A check written after looking at samples would fit them; those are exploratory
    (`exploratory` counts them). `so_far` is what an earlier call returned: what came since is added to it.
    """
    if so_far is None:
        # A horizon is binding, whoever else drew.
        most = None if at.whole else session.options.horizon
        so_far = Runs(session.store, checks_of(session, at), session.room, most)
    since = so_far.newest or (0 if at.whole else session.since)
    after = max(since, _last_older(session, at))
    known = _at_hand(session, at)
    until = session.store.newest()
    if known:
        counted = session.store.drawn_seqs(at.request_id, at.series, after=after, until=until)
        so_far.add(known[seq] for seq in counted if seq in known)
        others = [seq for seq in counted if seq not in known]  # of another process, or more than could be held
        for start in range(0, len(others), PAGE):
            so_far.add(_judge_all(session, at, session.store.of_seqs(others[start : start + PAGE])))
    else:
        for page in _drawn(session, at, after, until, so_far):
            so_far.add(_judge_all(session, at, page))
    return so_far


def _at_hand(session: Session, at: Slots) -> dict[int, Judged]:
    """What this command drew there since it last asked, judged already, by `seq`; what is drawn from now on will be."""
    if not judges_at_once(at.case):
        return {}
    ids = checks_of(session, at)
    key = (at.request_id, at.series, *ids)
    session.at_hand.watch(key, lambda: Place(session.store, ids, session.checker.judging(at.case, session.judging)))
    return session.at_hand.take(key)


def exploratory(session: Session, at: Slots) -> Runs:
    """Draws older than the checks that judge them: shown, never counted."""
    old = Runs(session.store, checks_of(session, at), Room(0))
    for page in _drawn(session, at, 0, _last_older(session, at), old):
        old.add(_judge_all(session, at, page))
    return old


def _last_older(session: Session, at: Slots) -> int:
    """The last draw (its `seq`) that was there before these checks were known; 0 if none was.

    By the order of storing from the first later one on: a clock that is set back must not turn what was
    drawn since into what was there before.
    """
    ids = checks_of(session, at)
    place = (at.request_id, at.series, *ids)
    if place not in session.older:
        known = session.store.first_used(ids, at.request_id)
        session.older[place] = session.store.last_before(
            known, request_id=at.request_id, series=at.series, source="draw"
        )
    return session.older[place]


def checks_of(session: Session, at: Slots) -> list[str]:
    """The content ids of the checks of this place's case."""
    return session.checker.ids(at.case, session.judging)


def _drawn(session: Session, at: Slots, after: int, until: int, so_far: Runs) -> Iterator[list[StoredSample]]:
    """What was drawn here with `after` < seq <= `until`, in pages, looking at as few rows as it takes."""
    if until <= after:
        return iter(())
    few = until - after <= max(PAGE, len(so_far))  # fewer than there are in this series, maybe
    return session.store.drawn(at.request_id, at.series, after=after, until=until, by_index=not few, size=PAGE)


def _judge_all(session: Session, at: Slots, stored: Sequence[StoredSample]) -> list[Judged]:
    said = outcomes_of(session, at, {s.id: s.sample for s in stored})
    return [Judged(s, overall(said[s.id]), said[s.id]) for s in stored]


def outcomes_of(session: Session, at: Slots, samples: Mapping[str, Sample]) -> dict[str, tuple[Outcome, ...]]:
    """What the checks of this place's case say of stored samples, by id; outcomes that were missing are stored."""
    ids = checks_of(session, at)
    have = session.store.outcomes(list(samples), ids)
    by_person = at.case.asks_a_person
    fresh: dict[str, list[tuple[str, Outcome]]] = {}
    judge = session.checker.judging(at.case, session.judging)
    missing = (sample for id, sample in samples.items() if any(i not in have.get(id, {}) for i in ids))
    session.checker.ahead(at.case, session.judging, missing)
    try:
        for id, sample in samples.items():
            if any(i not in have.get(id, {}) for i in ids):
                said = judge(sample)
                have[id] = dict(zip(ids, said, strict=True))
                # A check that could not run is asked again next time; a person's word is kept at once.
                fresh[id] = [(i, o) for i, o in zip(ids, said, strict=True) if not o.broken]
                if by_person:
                    session.store.add_all_outcomes(fresh)
                    fresh = {}
    finally:
        session.store.add_all_outcomes(fresh)
    return {id: tuple(have[id][i] for i in ids) for id in samples}


def seed_of(base: int | None, request_id: str, series: str, index: int) -> int | None:
    """A seed of its own for every draw, from a block that no other request or series shares; fits 31 bits.

    Blocks leave room for servers that use seed + i for the i-th of several completions.
    """
    if base is None:
        return None
    block = hashlib.blake2b(f"{base} {request_id} {series}".encode(), digest_size=8).digest()
    return (int.from_bytes(block) + index * 64) % (1 << 31)


def too_dear(session: Session) -> bool:
    """Whether the spending cap leaves room for no further call, or is no longer known to be respected."""
    if session.spent.purse is not None:
        return session.spent.purse.shut()
    cap, usd = session.options.max_usd, session.spent.usd
    return cap is not None and (usd is None or usd >= cap)
