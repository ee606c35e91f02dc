"""The part of the store that remembers Slack: events taken once, what was asked in a thread, messages sent once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update

from reroll import store_sql as sql
from reroll.keys import hide, known_values
from reroll.store_base import Database, new_id, now_us
from reroll.store_rows import clean, to_json
from reroll.store_schema import jobs, slack_asks, slack_events, slack_outbox

__all__ = ["SlackAsk", "SlackBox", "SlackEvent", "SlackMessage"]

JSON = Any
ACTIVE = ("waiting", "running")


@dataclass(frozen=True, slots=True)
class SlackEvent:
    """Something that a person did on Slack. kind: mention, message, command, shortcut, press or form."""

    seq: int
    event_id: str
    channel: str
    ts: str
    kind: str
    body: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class SlackAsk:
    """What was asked for in a thread, and where it stands: open (a question), offered, running or told."""

    id: str
    cause: str
    channel: str
    thread: str
    asked_by: str
    what: str
    state: str
    case_id: str | None
    report_id: str | None
    job_id: str | None
    about: Mapping[str, JSON]
    max_usd: float | None
    made_us: int
    started_us: int | None


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """Something that goes to Slack. method: post, edit, file or whisper; ts: Slack's name of it, once it is there."""

    seq: int
    key: str
    channel: str
    method: str
    body: Mapping[str, JSON]
    state: str
    tries: int
    next_us: int
    ts: str | None
    problem: str


EVENT = tuple(slack_events.c[name] for name in SlackEvent.__dataclass_fields__)
ASK = tuple(slack_asks.c[name] for name in SlackAsk.__dataclass_fields__)
MESSAGE = tuple(slack_outbox.c[name] for name in SlackMessage.__dataclass_fields__)


class SlackBox(Database):
    """What Slack said and what it is told, of a `Store`."""

    # -- what came in --------------------------------------------------------------------------------------------------

    def take_event(self, event_id: str, channel: str, ts: str, kind: str, body: Mapping[str, JSON]) -> bool:
        """Whether it is new: neither this event nor this kind of event about this message was taken before."""
        row = {"event_id": event_id, "channel": channel, "ts": ts, "kind": kind, "body": _text(body)}
        with self._write() as connection:
            adding = sql.insert_new(slack_events).returning(slack_events.c.seq)
            return connection.execute(adding, {**row, "seen_us": now_us()}).one_or_none() is not None

    def open_events(self) -> list[SlackEvent]:
        """Those that nobody dealt with yet, in the order in which they came."""
        query = select(*EVENT).where(slack_events.c.done_us.is_(None)).order_by(slack_events.c.seq)
        with self._read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [SlackEvent(**{**row, "body": json.loads(row["body"])}) for row in rows]

    def end_event(self, event_id: str) -> None:
        """It was dealt with; what it said is forgotten, that it was there is not."""
        with self._write() as connection:
            here = update(slack_events).where(slack_events.c.event_id == event_id)
            connection.execute(here.values(done_us=now_us(), body=""))

    # -- what was asked for --------------------------------------------------------------------------------------------

    def add_ask(self, cause: str, **given: JSON) -> SlackAsk:
        """What this event asked for; made once, however often it is dealt with."""
        row: dict[str, JSON] = {"case_id": None, "report_id": None, "job_id": None, "max_usd": None, **given}
        row |= {"id": new_id("w"), "cause": cause, "about": _text(row.get("about") or {}), "made_us": now_us()}
        row["started_us"] = row["made_us"] if row["state"] == "running" else None
        with self._write() as connection:
            connection.execute(sql.insert_new(slack_asks), row)
            found = connection.execute(select(*ASK).where(slack_asks.c.cause == cause)).one()
        return _ask(found._asdict())

    def change_ask(self, id: str, *, was: str, **now: JSON) -> bool:
        """Whether this changed it: it was in that state, and is as told now."""
        if "about" in now:
            now["about"] = _text(now["about"])
        if now.get("state") == "running":
            now["started_us"] = now_us()
        here = update(slack_asks).where(slack_asks.c.id == id, slack_asks.c.state == was)
        with self._write() as connection:
            return connection.execute(here.values(**now)).rowcount == 1

    def open_thread(self, id: str, channel: str, thread: str, moved: bool = False) -> None:
        """What has no thread yet has this one; with `moved`, it goes on in this channel instead of its own."""
        here = [slack_asks.c.id == id, *([] if moved else [slack_asks.c.thread == "", slack_asks.c.channel == channel])]
        with self._write() as connection:
            connection.execute(update(slack_asks).where(*here).values(channel=channel, thread=thread))

    def ask(self, id: str) -> SlackAsk | None:
        return next(iter(self._asks(slack_asks.c.id == id)), None)

    def ask_of(self, cause: str) -> SlackAsk | None:
        """What this event asked for, if it was dealt with."""
        return next(iter(self._asks(slack_asks.c.cause == cause)), None)

    def asks(
        self,
        *,
        states: Collection[str] | None = None,
        thread: tuple[str, str] | None = None,
        report_id: str | None = None,
    ) -> list[SlackAsk]:
        """The matching ones, the newest first. thread: channel and first message."""
        wanted: list[ColumnElement[bool]] = [] if states is None else [slack_asks.c.state.in_(list(states))]
        wanted += [slack_asks.c.report_id == report_id] if report_id is not None else []
        if thread is not None:
            wanted += [slack_asks.c.channel == thread[0], slack_asks.c.thread == thread[1]]
        return self._asks(*wanted)

    def _asks(self, *wanted: ColumnElement[bool]) -> list[SlackAsk]:
        query = select(*ASK).where(*wanted).order_by(slack_asks.c.seq.desc())
        with self._read() as connection:
            return [_ask(row._asdict()) for row in connection.execute(query)]

    def spent_on_slack(self, after_us: int, *, asked_by: str | None = None, channel: str | None = None) -> float | None:
        """What was started since then costs in US dollars; what runs counts with all it may cost. None: not known."""
        query = select(slack_asks.c.max_usd, jobs.c.state, jobs.c.usd).select_from(
            slack_asks.outerjoin(jobs, jobs.c.id == slack_asks.c.job_id)
        )
        query = query.where(slack_asks.c.started_us > after_us)
        query = query.where(slack_asks.c.asked_by == asked_by) if asked_by is not None else query
        query = query.where(slack_asks.c.channel == channel) if channel is not None else query
        with self._read() as connection:
            rows = connection.execute(query).all()
        costs = [row.max_usd if row.state in ACTIVE or row.usd is None else row.usd for row in rows]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None

    # -- what goes out -------------------------------------------------------------------------------------------------

    def send(self, key: str, channel: str, method: str, body: Mapping[str, JSON]) -> bool:
        """Whether it is new: what has this key is said once, as soon as Slack takes it."""
        now = now_us()
        row = {"key": key, "channel": channel, "method": method, "body": _text(body), "state": "waiting", "tries": 0}
        adding = sql.insert_new(slack_outbox).returning(slack_outbox.c.seq)
        with self._write() as connection:
            new = connection.execute(adding, {**row, "next_us": now, "problem": "", "made_us": now})
            return new.one_or_none() is not None

    def message(self, key: str) -> SlackMessage | None:
        return next(iter(self._messages(slack_outbox.c.key == key)), None)

    def unsent(self) -> list[SlackMessage]:
        """All that Slack does not have yet, in the order in which it was said."""
        return self._messages(slack_outbox.c.state.in_(("waiting", "sending")))

    def _messages(self, *wanted: ColumnElement[bool]) -> list[SlackMessage]:
        query = select(*MESSAGE).where(*wanted).order_by(slack_outbox.c.seq)
        with self._read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [SlackMessage(**{**row, "body": json.loads(row["body"] or "{}")}) for row in rows]

    def claim_message(self, seq: int, stale_seconds: float) -> bool:
        """Whether this process sends it from now on: it waited, or whoever was sending it is silent for so long."""
        now = now_us()
        silent = (slack_outbox.c.state == "sending") & (slack_outbox.c.next_us < now - round(stale_seconds * 1e6))
        free = or_((slack_outbox.c.state == "waiting") & (slack_outbox.c.next_us <= now), silent)
        here = update(slack_outbox).where(slack_outbox.c.seq == seq, free)
        values: dict[str, JSON] = {"state": "sending", "tries": slack_outbox.c.tries + 1, "next_us": now}
        with self._write() as connection:
            return connection.execute(here.values(**values)).rowcount == 1

    def end_message(self, seq: int, state: str, *, ts: str | None = None, problem: str = "") -> None:
        """It was sent or refused; its text is forgotten."""
        values = {"state": state, "ts": ts, "problem": clean(hide(problem, *known_values().values()))}
        with self._write() as connection:
            here = update(slack_outbox).where(slack_outbox.c.seq == seq)
            connection.execute(here.values(**values, body="", sent_us=now_us()))

    def retry_message(self, seq: int, seconds: float, problem: str) -> None:
        """Slack did not take it: not again before so many seconds."""
        values = {"state": "waiting", "next_us": now_us() + round(seconds * 1e6), "problem": clean(problem)}
        with self._write() as connection:
            connection.execute(update(slack_outbox).where(slack_outbox.c.seq == seq).values(**values))


def _text(body: Any) -> str:
    """As JSON, without keys that are in use."""
    return clean(to_json(hide(body, *known_values().values())))


def _ask(row: Mapping[str, JSON]) -> SlackAsk:
    return SlackAsk(**{**row, "about": json.loads(row["about"])})
