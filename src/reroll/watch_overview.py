"""How a watch stands: each stream with its rate, baseline, allowance and alarms, for every screen."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from reroll.evidence import interval
from reroll.numbers import counts, interval_words, money, percent
from reroll.store import Store
from reroll.store_watch import StoredAlarm
from reroll.watch_budget import Account, account_from
from reroll.watch_file import BY_MODEL, WatchFile, judges_variant
from reroll.watch_rounds import Held, Watcher
from reroll.watch_sample import Judgings, judgings_from, left_today
from reroll.watch_words import called, moment_words, promise_words
from reroll.watching import DAY, Day, Stream, spend_of, stream_from

__all__ = ["Judging", "Overview", "Row", "lines", "overview", "overview_of"]

JSON = Any
QUIET_DAYS = 30  # a stream that was not heard for so long is shown last


@dataclass(frozen=True, slots=True)
class Row:
    """One stream. month: calls, losses and the share of the allowance that is spent, this calendar month (UTC);
    rate: the month's losses per call, with the interval that holds at every look (of pass or fail)."""

    key: str
    named: Mapping[str, str]
    called: str
    what: str
    n: int
    late: int
    first: float
    last: float
    state: str  # open | silent | measuring | watched
    month_calls: int
    month_losses: float
    rate: float | None
    low: float | None
    high: float | None
    allowed: float | None
    spent: float | None
    baseline: float | None
    measured_on: int
    inherited: bool
    learned: int
    learn: int
    run_length: float | None
    alarm_since: float | None
    silent_since: float | None
    days: tuple[Day, ...]

    @property
    def rate_words(self) -> str:
        """The month's rate, with what is known of it."""
        if self.rate is None:
            return "nothing this month"
        if self.low is None or self.high is None:
            return f"{self.rate:.3f} lost a call, of {counts('call', self.month_calls)}"
        did = "brought nothing back" if self.what == "invalid" else "failed"
        of = f"{self.month_losses:,.0f} of {counts('call', self.month_calls)} {did}"
        return f"{of}: {percent(self.rate)} ({interval_words(self.low, self.high)})"

    @property
    def budget_words(self) -> str:
        """The allowance, as people say it: `99 % this month: 38 % spent`."""
        if self.allowed is None or self.spent is None:
            return ""
        return f"{percent(round(1 - self.allowed, 12))} this month: {100 * self.spent:,.0f} % spent"

    @property
    def baseline_words(self) -> str:
        learned = f"being measured: {self.learned:,} of {counts('call', self.learn)}"
        if self.baseline is None:
            return learned
        shown = f"{self.baseline:.3f}" if self.what == "loss" else percent(self.baseline, "up")
        if self.inherited:
            return f"at most {shown}, as in the version before; its own is {learned}"
        return f"at most {shown}" + (
            f", from {counts('call', self.measured_on)}" if self.measured_on else ", as stated"
        )


@dataclass(frozen=True, slots=True)
class Judging:
    """What models judge of production. share, calls_a_day: as watch.yaml says; today, ever: calls put before them;
    judge_calls, usd: what that took, ever; usd None: not known."""

    share: float
    calls_a_day: int
    today: int
    ever: int
    judge_calls: int
    usd: float | None

    @property
    def words(self) -> str:
        """One sentence."""
        cost = f"{counts('call', self.judge_calls)} of judges in all, {money(self.usd)}"
        return (
            f"A model judges {percent(self.share)} of the calls whose checks ask one, chosen by chance: "
            f"{self.today:,} of at most {self.calls_a_day:,} today (UTC), {self.ever:,} in all; {cost}."
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """A watch as it stands. brought, spent: false alarms that time has brought, and that calls have taken."""

    name: str
    promise: str
    rows: tuple[Row, ...]
    alarms: tuple[StoredAlarm, ...]
    brought: float
    spent: float
    first: float | None
    clock: float | None
    unjudged: Mapping[str, int]
    future: int
    refused: tuple[tuple[str, str], ...] = ()
    judging: Judging | None = None
    empty: tuple[tuple[str, str], ...] = ()  # entries of watch.yaml that no call is of, with the cases that they name

    @property
    def open(self) -> tuple[StoredAlarm, ...]:
        return tuple(alarm for alarm in self.alarms if alarm.state == "open")

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader of these numbers should know."""
        said = [
            f"{counts('call', n)} were not judged, and count neither as passed nor as failed: {why}."
            if n > 1
            else f"1 call was not judged, and counts neither as passed nor as failed: {why}."
            for why, n in self.unjudged.items()
        ]
        if self.future:
            said.append(f"{counts('call', self.future)} came with a time in the future, which counts as now.")
        if self.first is not None and self.clock == self.first and any(row.n > 1 for row in self.rows):
            said.append(
                "All calls have the same time, so no false alarm has fallen due, and no alarm can be raised yet; where "
                "calls come without times, write `false_alarms: {calls: 10000}` in watch.yaml."
            )
        if late := sum(row.late for row in self.rows if row.what != "invalid"):
            said.append(f"{counts('call', late)} came later than a newer one; each is counted when it came.")
        said += [f"No call is of `{name}` yet: it watches calls of cases named {cases}." for name, cases in self.empty]
        if self.refused:
            said.append(f"{counts('message', len(self.refused))} did not reach the webhook: {self.refused[-1][1]}.")
        return tuple(said)

    def json(self) -> dict[str, JSON]:
        rows = [{name: value for name, value in asdict(row).items() if name != "days"} for row in self.rows]
        alarms = [
            {
                "id": one.id,
                "kind": one.kind,
                "state": one.state,
                "words": one.body.get("words"),
                "report": one.report_id,
                "job": one.job_id,
                "investigated": one.job,
                "raised": one.raised_us / 1e6,
                "resolved": None if one.resolved_us is None else one.resolved_us / 1e6,
                "over": one.body.get("over"),
            }
            for one in self.alarms
        ]
        account = {"brought": self.brought, "spent": self.spent, "first": self.first, "clock": self.clock}
        return {
            "watch": self.name,
            "promise": self.promise,
            "false_alarms": account,
            "streams": rows,
            "alarms": alarms,
            "unjudged": dict(self.unjudged),
            "judging": None if self.judging is None else asdict(self.judging),
            "caveats": list(self.caveats),
        }


def overview(store: Store, told: WatchFile, now: float, most_alarms: int = 100) -> Overview | None:
    """As it is stored; None where this watch never looked. Raises: ValueError for a state that cannot be read."""
    name = str(told.watch)
    kept = store.watch(name)
    if kept is None:
        return None
    held = [Held(one.key, one.named, stream_from(one.body)) for one in store.watched(name)]
    account = account_from(kept.body["account"])
    alarms = store.alarms(name, limit=most_alarms)
    unjudged, future = kept.body.get("unjudged") or {}, int(kept.body.get("future") or 0)
    refused = tuple(store.posts_refused(name))
    judging = None if told.judge is None else _judging(store, told, judgings_from(kept.body.get("judgings")), now)
    return _made(told, held, account, alarms, unjudged, future, now, refused, judging)


def _judging(store: Store, told: WatchFile, so_far: Judgings, now: float) -> Judging:
    assert told.judge is not None
    took = store.spend(source="judge", variant=judges_variant(told))
    today = told.judge.calls - left_today(so_far, now, told.judge.calls)
    return Judging(told.judge.share, told.judge.calls, today, so_far.ever, took.calls, took.usd)


def overview_of(watcher: Watcher, now: float) -> Overview:
    """As it stands in memory, after a replay."""
    held = list(watcher.streams.values())
    return _made(watcher.told, held, watcher.account, (), watcher.unjudged, watcher.future, now)


def _made(
    told: WatchFile,
    held: Sequence[Held],
    account: Account,
    alarms: Sequence[StoredAlarm],
    unjudged: Mapping[str, int],
    future: int,
    now: float,
    refused: tuple[tuple[str, str], ...] = (),
    judging: Judging | None = None,
) -> Overview:
    rows = [_row(one, account, now) for one in held]
    rows.sort(key=lambda row: (row.what == "invalid", row.last < now - QUIET_DAYS * DAY, row.called, -row.last))
    allowed, seen = told.allowed, {str(one.named.get("name")).removesuffix(BY_MODEL) for one in held}
    return Overview(
        str(told.watch),
        promise_words(allowed.weeks, allowed.calls),
        tuple(rows),
        tuple(alarms),
        account.brought,
        account.spent,
        account.first,
        account.clock,
        dict(unjudged),
        future,
        refused,
        judging,
        tuple((one.name, ", ".join(one.cases)) for one in told.streams if one.name not in seen and one.cases != ("*",)),
    )


def _row(held: Held, account: Account, now: float) -> Row:
    stream, what = held.stream, held.named["what"]
    since, until = _month(now)
    days = tuple(day for day in stream.days if since <= day.day <= until)
    n, losses, spent = spend_of(days, stream.terms.allowed or 0.0, since, until)
    n = sum(day.n for day in days) if what == "invalid" else n
    low, high = interval(round(losses), n) if n and what != "loss" else (None, None)
    return Row(
        held.key,
        held.named,
        called(held.named),
        what,
        stream.n,
        stream.late,
        stream.first,
        stream.last,
        _state(stream),
        n,
        losses,
        losses / n if n else None,
        low,
        high,
        stream.terms.allowed,
        spent,
        None if stream.baseline is None else stream.baseline.rate,
        0 if stream.baseline is None else stream.baseline.n,
        stream.inherited,
        stream.learning[0],
        stream.terms.learn,
        None if stream.drift is None else account.run_length,
        stream.alarm,
        stream.silent,
        stream.days,
    )


def _state(stream: Stream) -> str:
    if stream.alarm is not None:
        return "open"
    if stream.silent is not None:
        return "silent"
    return "measuring" if stream.baseline is None or stream.inherited else "watched"


def _month(now: float) -> tuple[int, int]:
    """The first and the last day of the calendar month (UTC), counted from 1970."""
    at = datetime.fromtimestamp(now, UTC)
    first = int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp() // DAY)
    return first, first + calendar.monthrange(at.year, at.month)[1] - 1


def lines(shown: Overview) -> list[str]:
    """The overview as a terminal shows it."""
    out = [f"{shown.name}: {shown.promise}."]
    if shown.clock is not None:
        out.append(f"Calls up to {moment_words(shown.clock)}.")
    for row in shown.rows:
        if row.what == "invalid" and row.state in ("watched", "measuring"):
            continue
        state = {"open": "ALARM", "silent": "SILENT", "measuring": "measuring", "watched": "ok"}[row.state]
        name = row.called + (" – calls that bring nothing back" if row.what == "invalid" else "")
        out.append(f"{state:9}  {name}: {row.rate_words}; baseline {row.baseline_words}")
        if row.budget_words:
            out.append(f"{'':9}  {row.budget_words}")
    if shown.judging is not None:
        out.append(f"judged     {shown.judging.words}")
    for alarm in shown.open:
        out.append(f"open       {alarm.body.get('words')}{f' Report {alarm.report_id}.' if alarm.report_id else ''}")
    return [*out, *(f"note       {caveat}" for caveat in shown.caveats)]
