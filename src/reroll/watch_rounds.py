"""One look of a watch: new calls judged, counted in their streams, and all that follows kept in one transaction.

A call is counted once, whatever is killed when: how far a watch looked is kept with what it counted, and of two
processes that look at the same calls one keeps its look and the other begins anew from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from reroll.case import Report
from reroll.check import Outcome
from reroll.checking import Checker
from reroll.drift_rule import Watches
from reroll.errors import StoreError
from reroll.keys import hide, known_values
from reroll.match import clean
from reroll.program import content_id
from reroll.project import Project
from reroll.store import Store
from reroll.store_rows import StoredSample
from reroll.store_watch import KeptStream, NewAlarm, WatchStep
from reroll.watch_budget import Account, account_from, account_json
from reroll.watch_file import Watched, WatchFile
from reroll.watch_judging import Judged, Judges
from reroll.watch_sample import judgings_from, judgings_json
from reroll.watch_words import called, event_words
from reroll.watching import (
    Call,
    Event,
    Stream,
    begun_anew,
    fallen_silent,
    new_stream,
    stream_from,
    stream_json,
    take,
)

__all__ = ["BY", "Held", "Look", "Said", "Watcher", "replay"]

JSON = Any
PAGE = 1000  # calls of one look
MOST_STREAMS = 5000  # of one entry; whatever is in none of them is pooled
MOST_SAW = 4000  # characters of a completion that a report shows
BY = "reroll watch"
OTHERS = {"others": "of all other versions"}


@dataclass(slots=True)
class Held:
    """A stream in memory. named: what it is; changed: since it was kept."""

    key: str
    named: Mapping[str, str]
    stream: Stream
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Something that happened, in words."""

    event: Event
    named: Mapping[str, str]
    words: str
    alarm: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: new calls, what happened, and whether there is more to see at once."""

    calls: int
    said: tuple[Said, ...]
    more: bool


@dataclass(slots=True)
class _Round:
    """What a look has gathered, before it is kept."""

    now: float
    step: WatchStep
    said: list[Said] = field(default_factory=list)
    outcomes: dict[str, list[tuple[str, Outcome]]] = field(default_factory=dict)
    listen: bool = False  # at every call, whether its stream was silent before: a replay has no other time to do so


class Watcher:
    """One watch of one project. Not safe to use from several threads; several processes may have one each."""

    def __init__(self, project: Project, told: WatchFile, store: Store, checker: Checker) -> None:
        self.project, self.told, self.store = project, told, store
        self.name = str(told.watch)
        self.judges = Judges(project, told, store, checker)
        every = (*told.streams, *self.judges.by_model.values())
        self.entries = {entry.name: entry for entry in every}
        self.terms = {
            (entry.name, watches): entry.terms("invalid" if watches == "invalid" else "fail", told.target)
            for entry in every
            for watches in _watches(entry)
        }
        self.keys: dict[tuple[str, ...], str] = {}
        self.alike: dict[tuple[str, str], list[Held]] = {}  # the streams of an entry, failures and invalid ones apart
        self.heard: dict[tuple[str, str], Held] = {}  # which of them was heard last
        self.account = Account()
        self.streams: dict[str, Held] = {}
        self.open: dict[tuple[str, bool], str] = {}  # the open alarm of a stream; whether it is one of silence
        self.unjudged: Counter[str] = Counter()
        self.future = 0
        self.seen, self.history = -1, 0

    # -- live ----------------------------------------------------------------------------------------------------------

    def look(self, now: float) -> Look:
        """Count what is new, and keep it. Raises: RerollError; what was not kept is counted at the next look."""
        if self.seen < 0:
            self._load()
        newest = self.store.newest()
        page = self.store.samples(after=self.seen, source=self.told.runs, variant="baseline", limit=PAGE)
        more = len(page) == PAGE
        until = page[-1].seq if more else max(newest, self.seen, *(one.seq for one in page))
        round = _Round(now, WatchStep({}))
        try:
            self._count(page, round)
            if self.seen < self.history <= until:
                self._open_what_goes_on(round)
            if not more and until >= self.history:
                self._hear_silence(round)
            if not self._keep(round, until):
                self.seen = -1
                return Look(0, (), True)
        except BaseException:
            self.seen = -1  # what is in memory may have counted what was not kept
            raise
        return Look(len(page), tuple(round.said), more)

    def _load(self) -> None:
        kept = self.store.watch(self.name, self._body())
        assert kept is not None
        try:
            self.account = account_from(kept.body["account"])
            self.judges.judgings = judgings_from(kept.body.get("judgings"))
            self.streams, self.alike, self.heard = {}, {}, {}
            kept_streams = [Held(one.key, one.named, stream_from(one.body)) for one in self.store.watched(self.name)]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"the state of the watch `{self.name}` in {self.store.name} cannot be read ({error}); give the watch "
                "another name in watch.yaml, and it begins anew",
                slug="watch-state",
            ) from None
        for held in sorted(kept_streams, key=lambda one: one.stream.last):
            self._add(held)
            self.heard[held.named["name"], held.named["what"]] = held
        self.unjudged = Counter(kept.body.get("unjudged") or {})
        self.future = int(kept.body.get("future") or 0)
        self.open = {(one.stream, one.kind == "silent"): one.id for one in self.store.alarms(self.name, state="open")}
        for one in self.store.alarms(self.name, state="history"):
            self.open.setdefault((one.stream, one.kind == "silent"), one.id)
        self.history, self.seen = kept.history, kept.seen
        self.judges.since = kept.history

    def _body(self) -> dict[str, JSON]:
        judgings = judgings_json(self.judges.judgings)
        body = {"account": account_json(self.account), "unjudged": dict(self.unjudged), "future": self.future}
        return {**body, "judgings": judgings}

    def _keep(self, round: _Round, until: int) -> bool:
        changed = [held for held in self.streams.values() if held.changed]
        if until == self.seen and not changed and not round.step.alarms and not round.step.resolved:
            return True
        self.store.add_all_outcomes(round.outcomes)
        round.step.account = self._body()
        round.step.streams = [KeptStream(held.key, held.named, stream_json(held.stream)) for held in changed]
        if not self.store.keep_look(self.name, self.seen, until, round.step):
            return False
        for held in changed:
            held.changed = False
        self.seen = until
        return True

    # -- counting ------------------------------------------------------------------------------------------------------

    def _count(self, page: Sequence[StoredSample], round: _Round) -> None:
        for judged in self.judges.page(page, round.now):
            if judged.word is None:
                self.unjudged[judged.why] += 1
                continue
            if judged.checks:
                kept = [(id, one) for id, one in judged.checks if not one.broken]  # a check may be mended
                round.outcomes.setdefault(judged.stored.id, []).extend(kept)
            for watches in _watches(judged.entry):
                self._take(judged, watches, round)

    def _take(self, judged: Judged, watches: Watches, round: _Round) -> None:
        held = self._held(judged, watches, round)
        when = judged.stored.settled
        if when > round.now:  # a clock was wrong, and would bring false alarms that time has not brought yet
            self.future += watches != "invalid"
            when = round.now
        word = judged.word
        assert word is not None
        if watches == "invalid" and word != "invalid":
            word = "pass"
        call = Call(judged.stored.seq, when, word)
        if round.listen and watches != "invalid":
            self._hear(held, when, round)
        held.stream, self.account, events = take(held.stream, call, self.account, self.told.allowed)
        held.changed = True
        self.heard[judged.entry.name, watches] = held
        for event in events:
            self._heard(held, event, round)

    def _held(self, judged: Judged, watches: Watches, round: _Round) -> Held:
        entry = judged.entry
        named = {**judged.named, "what": watches}
        place = tuple(named.values())
        if (key := self.keys.get(place)) is None:
            if len(self.keys) > 20 * MOST_STREAMS:
                self.keys.clear()
            key = self.keys[place] = content_id("ws1", named)
        terms = self.terms[entry.name, watches]
        held = self.streams.get(key)
        if held is None and len(self.alike.get((entry.name, watches), ())) >= MOST_STREAMS:
            named = {"name": entry.name, "by": judged.named["by"], "what": watches, **OTHERS}
            key = content_id("ws1", named)
            held = self.streams.get(key)
        if held is not None and held.stream.terms == terms:
            return held
        if held is not None and replace(held.stream.terms, allowed=None) == replace(terms, allowed=None):
            held.stream = replace(held.stream, terms=terms)
            return held
        why = "" if held is None else "what it is held against was changed in watch.yaml"
        before = held or self.heard.get((entry.name, watches))
        inherited = None
        if before is not None and before.named.get("by") == named["by"]:
            inherited = before.stream.baseline
        if held is not None:
            held.stream, held.changed = begun_anew(held.stream, terms, inherited), True
        else:
            held = self._add(Held(key, named, new_stream(terms, inherited), True))
        told: dict[str, JSON] = {"learn": terms.learn if terms.baseline is None else 0, "rate": terms.baseline}
        if before is not None:
            told |= {"inherited": inherited.rate if inherited and held.stream.inherited else None}
            told |= {"follows": called(before.named), "why": why or _difference(before.named, named)}
        if watches != "invalid":
            began = Event("began", min(judged.stored.settled, round.now), judged.stored.seq, told)
            self._heard(held, began, round)
        return held

    def _add(self, held: Held) -> Held:
        self.streams[held.key] = held
        self.alike.setdefault((held.named["name"], held.named["what"]), []).append(held)
        return held

    # -- what happened -------------------------------------------------------------------------------------------------

    def _heard(self, held: Held, event: Event, round: _Round) -> None:
        alarm = None
        words = event_words(event, held.named)
        if event.kind in ("alarm", "silent"):
            alarm = self._raise(held, event, words, round)
        elif event.kind == "still":
            alarm = self.open.get((held.key, False))
            if alarm is not None:
                round.step.again.append((alarm, {"last": event.time, "last_words": words}))
        elif event.kind in ("resolved", "spoke"):
            alarm = self._resolve(held, event, words, round)
        round.said.append(Said(event, held.named, words, alarm))

    def _raise(self, held: Held, event: Event, words: str, round: _Round) -> str:
        silent = event.kind == "silent"
        kind = "silent" if silent else "invalid" if held.named["what"] == "invalid" else "worse"
        old = event.seq is not None and event.seq <= self.history
        what = event.told["since"] if silent else event.seq
        id = content_id("wa1", [self.name, held.key, kind, what])
        body = {"words": words, "named": dict(held.named), "time": event.time, "seq": event.seq, **event.told}
        self.open[held.key, silent] = id
        alarm = NewAlarm(id, held.key, kind, "history" if old else "open", event.time, body)
        round.step.alarms.append(alarm if old else self._opened(alarm, round))
        return id

    def _opened(self, alarm: NewAlarm, round: _Round) -> NewAlarm:
        """The alarm with its report, where samples raised it; whoever is to be told is told."""
        report = None if alarm.kind == "silent" else self._report(alarm)
        wanted = "wanted" if report is not None and self.told.investigate is not None else None
        self._tell(alarm.id, "alarm", alarm.body, alarm.body["words"], round)
        return replace(alarm, report=report, job=wanted)

    def _resolve(self, held: Held, event: Event, words: str, round: _Round) -> str | None:
        id = self.open.pop((held.key, event.kind == "spoke"), None)
        if id is None:
            return None
        shown = {**event.told, "samples": None} if event.kind == "resolved" else dict(event.told)
        round.step.resolved.append((id, event.time, {"over": words, "shown": shown}))
        if event.seq is None or event.seq > self.history:
            self._tell(id, "resolved", {"named": dict(held.named), "time": event.time, **event.told}, words, round)
        return id

    def _open_what_goes_on(self, round: _Round) -> None:
        """Alarms of what was stored before the watch began tell nobody, but for those that are open when it begins."""
        fresh = {alarm.id: alarm for alarm in round.step.alarms}
        kept = {one.id: one for one in self.store.alarms(self.name, state="history")}
        for (key, silent), id in list(self.open.items()):
            held = self.streams.get(key)
            if silent or held is None or held.stream.alarm is None:
                continue
            old = fresh.get(id) or kept.get(id)
            if old is None or old.state != "history":
                continue
            round.step.alarms = [one for one in round.step.alarms if one.id != id]
            raised = old.raised if isinstance(old, NewAlarm) else old.raised_us / 1e6
            alarm = NewAlarm(id, key, old.kind, "open", raised, old.body)
            round.step.alarms.append(self._opened(alarm, round))

    def _hear_silence(self, round: _Round) -> None:
        for held in self.streams.values():
            if held.stream.silent is not None and (held.key, True) in self.open and not self._listens(held):
                self._resolve_silence(held, round)
            elif held.named["what"] != "invalid":
                self._hear(held, round.now, round)

    def _resolve_silence(self, held: Held, round: _Round) -> None:
        """A stream that a later version took the place of, or that nobody listens for any more, is not silent."""
        id = self.open.pop((held.key, True))
        words = f"Over: {called(held.named)} is not listened for any more: another is heard in its place."
        entry = self.entries.get(held.named["name"])
        if entry is None or not entry.silence:
            words = f"Over: {called(held.named)} is not listened for any more: watch.yaml says so."
        round.step.resolved.append((id, round.now, {"over": words}))
        self._tell(id, "resolved", {"named": dict(held.named), "time": round.now}, words, round)

    def _hear(self, held: Held, now: float, round: _Round) -> None:
        event = fallen_silent(held.stream, now, self.account.run_length)
        if event is not None and self._listens(held):
            held.stream, held.changed = replace(held.stream, silent=held.stream.last), True
            self._heard(held, event, round)

    def _listens(self, held: Held) -> bool:
        """Whether its silence would be news: not where a later version of the same is heard in its place."""
        entry = self.entries.get(held.named["name"])
        if entry is None or not entry.silence:
            return False
        return not any(
            one.stream.first > held.stream.first and one.stream.last > held.stream.last
            for one in self.alike[entry.name, held.named["what"]]
        )

    # -- reports and messages ------------------------------------------------------------------------------------------

    def _report(self, alarm: NewAlarm) -> tuple[Report, str | None] | None:
        """What the alarm says, about the case that most of its samples are of."""
        found = self.store.of_seqs(alarm.body["samples"])
        if not found:
            return None
        most = Counter(one.case_id for one in found).most_common(1)[0][0]
        last = [one for one in found if one.case_id == most][-1]
        saw = last.sample.completion.text if last.sample.completion else last.sample.error
        report = Report(
            words=_safe(alarm.body["words"]),
            case_id=_safe(most),
            saw=_safe(saw[:MOST_SAW]) if saw else None,
            sample=last.id,
            by=BY,
            at=datetime.fromtimestamp(alarm.raised, UTC).isoformat(timespec="seconds"),
        )
        return report, last.program_id

    def _tell(self, id: str, kind: str, told: Mapping[str, JSON], words: str, round: _Round) -> None:
        tell = self.told.tell
        key = f"{id}:{kind}"
        link = None if tell.pages is None else f"{tell.pages.rstrip('/')}/watch#{id.replace(':', '-')}"
        if tell.webhook is not None:
            numbers = {name: value for name, value in told.items() if name not in ("words", "named", "time", "seq")}
            body: dict[str, JSON] = {
                "schema": "reroll.alarm/1",
                "id": key,
                "watch": self.name,
                "what": kind,
                "words": words,
            }
            body |= {"stream": told["named"], "time": told["time"], "numbers": numbers, "link": link}
            round.step.posts[key] = body
        if tell.slack is not None:
            text = f"{words} {link}" if link else words
            round.step.slack[key] = (tell.slack, {"text": _for_slack(text), "unfurl_links": False, "parse": "none"})


def _watches(entry: Watched) -> tuple[Watches, ...]:
    first: Watches = "loss" if entry.score else "fail"
    return (first,) if entry.errors is False else (first, "invalid")


def _difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    if before.get("by") != now.get("by"):
        return "what judges it was changed, so it has a baseline of its own"
    parts = [part for part in now if part not in ("name", "by", "what") and now[part] != before.get(part)]
    return f"another {' and '.join(parts) or 'version'}, so it has a baseline of its own"


def _safe(text: str) -> str:
    return clean(hide(text, *known_values().values()))


def _for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- replay ------------------------------------------------------------------------------------------------------------


def replay(
    project: Project, told: WatchFile, store: Store, checker: Checker, now: float
) -> tuple[list[Said], Watcher, int]:
    """What this watch would have said of all that is stored, in the order of the calls' times; nothing is kept.

    Returns what it would have said, the watcher as it would stand, and how many calls there were.
    """
    watcher = Watcher(project, told, store, checker)
    watcher.seen, watcher.history = 0, 0
    said: list[Said] = []
    seqs = store.by_time(told.runs)
    for page in _pages(store, seqs):
        round = _Round(now, WatchStep({}), listen=True)
        watcher._count(page, round)
        said += round.said
    return said, watcher, len(seqs)


def _pages(store: Store, seqs: Sequence[int]) -> Iterator[list[StoredSample]]:
    for at in range(0, len(seqs), PAGE):
        wanted = seqs[at : at + PAGE]
        found = {one.seq: one for one in store.of_seqs(wanted)}
        yield [found[seq] for seq in wanted if seq in found]
