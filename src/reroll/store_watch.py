"""The part of the store that keeps what is watched: how far it looked, streams, alarms, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from reroll import store_sql as sql
from reroll.case import Report
from reroll.keys import hide, known_values
from reroll.store_asked import report_row
from reroll.store_base import Database, now_us
from reroll.store_rows import Source, clean, to_json, to_us
from reroll.store_schema import reports, samples, slack_outbox, watch_alarms, watch_posts, watch_streams, watches

__all__ = ["KeptStream", "NewAlarm", "Post", "StoredAlarm", "StoredWatch", "WatchBox", "WatchStep"]

JSON = Any


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """How far it looked, and its account. history: the newest sample when it began."""

    seen: int
    history: int
    body: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class KeptStream:
    key: str
    named: Mapping[str, JSON]
    body: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class NewAlarm:
    """An alarm as it is raised, or opened where it was one of history. report: with the program that it is about."""

    id: str
    stream: str
    kind: str
    state: str
    raised: float
    body: Mapping[str, JSON]
    report: tuple[Report, str | None] | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    seq: int
    id: str
    stream: str
    kind: str
    state: str
    body: Mapping[str, JSON]
    report_id: str | None
    job_id: str | None
    job: str | None
    raised_us: int
    resolved_us: int | None


@dataclass(frozen=True, slots=True)
class Post:
    """Something that a webhook is told. `key` names it: whoever gets it twice knows by the key."""

    seq: int
    key: str
    body: Mapping[str, JSON]
    tries: int
    made_us: int


@dataclass(slots=True)
class WatchStep:
    """All that one look changes, kept in one transaction. resolved: alarms that are over, with what was shown;
    again: open alarms that went on. posts, slack: what is told, by key; of slack (channel, body)."""

    account: Mapping[str, JSON]
    streams: list[KeptStream] = field(default_factory=list)
    alarms: list[NewAlarm] = field(default_factory=list)
    resolved: list[tuple[str, float, Mapping[str, JSON]]] = field(default_factory=list)
    again: list[tuple[str, Mapping[str, JSON]]] = field(default_factory=list)
    posts: dict[str, Mapping[str, JSON]] = field(default_factory=dict)
    slack: dict[str, tuple[str, Mapping[str, JSON]]] = field(default_factory=dict)


ALARM = tuple(watch_alarms.c[name] for name in StoredAlarm.__dataclass_fields__)
KEEP_STREAM = sql.insert_or_change(watch_streams, ("watch", "key"), ("body", "changed_us"))
POST = tuple(watch_posts.c[name] for name in Post.__dataclass_fields__)


class WatchBox(Database):
    """Watches, streams, alarms and their posts of a `Store`."""

    def watch(self, name: str, account: Mapping[str, JSON] | None = None) -> StoredWatch | None:
        """How far this watch looked; with an `account` it begins now where it had not, before the first sample."""
        query = select(watches.c.seen, watches.c.history, watches.c.body).where(watches.c.name == name)
        if account is not None:
            newest = select(samples.c.seq).order_by(samples.c.seq.desc()).limit(1)
            row = {"name": name, "seen": 0, "body": to_json(account), "began_us": now_us(), "changed_us": now_us()}
            with self._write() as connection:
                last = connection.execute(newest).scalar_one_or_none() or 0
                connection.execute(sql.insert_new(watches), {**row, "history": last})
        with self._read() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else StoredWatch(found.seen, found.history, json.loads(found.body))

    def watched(self, name: str) -> list[KeptStream]:
        """Every stream of this watch."""
        query = select(watch_streams.c.key, watch_streams.c.named, watch_streams.c.body).where(
            watch_streams.c.watch == name
        )
        with self._read() as connection:
            return [KeptStream(r.key, json.loads(r.named), json.loads(r.body)) for r in connection.execute(query)]

    def keep_look(self, name: str, was: int, seen: int, step: WatchStep) -> bool:
        """Whether it was kept: all of it, or nothing where another process has looked since (it saw more than `was`).

        Raises: UsageError if a report holds a key in use; nothing is kept then.
        """
        now = now_us()
        values = {"seen": seen, "body": to_json(step.account), "changed_us": now}
        with self._write() as connection:
            here = update(watches).where(watches.c.name == name, watches.c.seen == was)
            if connection.execute(here.values(**values)).rowcount != 1:
                return False
            self._keep_streams(connection, name, step.streams, now)
            self._keep_alarms(connection, name, step.alarms)
            for id, when, told in step.resolved:
                self._change(connection, id, told, state="resolved", resolved_us=to_us(when))
            for id, told in step.again:
                self._change(connection, id, told)
            self._tell(connection, name, step, now)
        return True

    @staticmethod
    def _keep_streams(connection: Connection, name: str, kept: Sequence[KeptStream], now: int) -> None:
        if not kept:
            return
        keys = list(known_values().values())  # looked up once, not for each of many
        rows = [
            {
                "watch": name,
                "key": one.key,
                "named": clean(to_json(hide(one.named, *keys))),
                "body": to_json(one.body),
                "changed_us": now,
            }
            for one in kept
        ]
        sql.add_all(connection, KEEP_STREAM, rows)

    @staticmethod
    def _keep_alarms(connection: Connection, name: str, alarms: Iterable[NewAlarm]) -> None:
        for one in alarms:
            report_id = None
            if one.report is not None:
                row = report_row(*one.report)
                connection.execute(sql.insert_new(reports), row)
                report_id = row["id"]
            now = {"state": one.state, "report_id": report_id, "job": one.job}
            row = {"id": one.id, "watch": name, "stream": one.stream, "kind": one.kind, "body": _text(one.body)}
            row |= {**now, "raised_us": to_us(one.raised)}
            connection.execute(sql.insert_new(watch_alarms), row)
            if one.state == "open":
                old = (watch_alarms.c.id == one.id, watch_alarms.c.state == "history")
                connection.execute(update(watch_alarms).where(*old).values(**now))

    @staticmethod
    def _change(connection: Connection, id: str, told: Mapping[str, JSON], **values: JSON) -> None:
        here = watch_alarms.c.id == id
        body = connection.execute(select(watch_alarms.c.body).where(here)).scalar_one_or_none()
        if body is not None:
            changed = {**json.loads(body), **told}
            connection.execute(update(watch_alarms).where(here).values(body=_text(changed), **values))

    @staticmethod
    def _tell(connection: Connection, name: str, step: WatchStep, now: int) -> None:
        waiting = {"state": "waiting", "tries": 0, "next_us": now, "problem": "", "made_us": now}
        for key, body in step.posts.items():
            row = {**waiting, "key": key, "watch": name, "body": _text(body)}
            connection.execute(sql.insert_new(watch_posts), row)
        for key, (channel, body) in step.slack.items():
            row = {**waiting, "key": key, "channel": channel, "method": "post", "body": _text(body)}
            connection.execute(sql.insert_new(slack_outbox), row)

    # -- samples that are watched --------------------------------------------------------------------------------------

    def by_time(self, sources: Collection[Source]) -> list[int]:
        """The `seq` of every sample of these sources, in the order of their times."""
        query = select(samples.c.seq).where(samples.c.source.in_(list(sources)), samples.c.variant == "baseline")
        with self._read() as connection:
            return list(connection.execute(query.order_by(samples.c.settled_us, samples.c.seq)).scalars())

    # -- alarms --------------------------------------------------------------------------------------------------------

    def alarms(
        self, name: str | None = None, *, state: str | None = None, limit: int | None = None
    ) -> list[StoredAlarm]:
        """The alarms of a watch, or of all; the newest first."""
        wanted: list[ColumnElement[bool]] = [] if name is None else [watch_alarms.c.watch == name]
        wanted += [] if state is None else [watch_alarms.c.state == state]
        return self._alarms(*wanted, limit=limit)

    def alarms_of(self, report_ids: Collection[str]) -> list[StoredAlarm]:
        """The alarms that opened these reports, the newest first."""
        return self._alarms(watch_alarms.c.report_id.in_(list(report_ids)))

    def jobs_wanted(self, name: str) -> list[StoredAlarm]:
        """Alarms that are to be investigated, and for which no job was asked yet."""
        return self._alarms(watch_alarms.c.watch == name, watch_alarms.c.job == "wanted")

    def _alarms(self, *wanted: ColumnElement[bool], limit: int | None = None) -> list[StoredAlarm]:
        query = select(*ALARM).where(*wanted).order_by(watch_alarms.c.seq.desc()).limit(limit)
        with self._read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [StoredAlarm(**{**row, "body": json.loads(row["body"])}) for row in rows]

    def claim_alarm(self, id: str, stale_seconds: float) -> bool:
        """Whether this process asks for its job from now on: nobody has, or whoever did is silent for so long."""
        now = now_us()
        free = or_(watch_alarms.c.claimed_us.is_(None), watch_alarms.c.claimed_us < now - to_us(stale_seconds))
        here = update(watch_alarms).where(watch_alarms.c.id == id, watch_alarms.c.job == "wanted", free)
        with self._write() as connection:
            return connection.execute(here.values(claimed_us=now)).rowcount == 1

    def end_claim(self, id: str, job: str, job_id: str | None = None) -> None:
        """Its job was asked for, or why there is none."""
        with self._write() as connection:
            here = update(watch_alarms).where(watch_alarms.c.id == id)
            connection.execute(here.values(job=clean(job), job_id=job_id))

    # -- what a webhook is told ----------------------------------------------------------------------------------------

    def posts_due(self, name: str) -> list[Post]:
        """What was not delivered yet, in the order in which it was said."""
        here = (watch_posts.c.watch == name, watch_posts.c.state.in_(("waiting", "sending")))
        query = select(*POST).where(*here).order_by(watch_posts.c.seq)
        with self._read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [Post(**{**row, "body": json.loads(row["body"] or "{}")}) for row in rows]

    def claim_post(self, seq: int, stale_seconds: float) -> bool:
        """Whether this process sends it from now on: it waited long enough, or whoever was sending it is silent."""
        now = now_us()
        silent = (watch_posts.c.state == "sending") & (watch_posts.c.next_us < now - to_us(stale_seconds))
        free = or_((watch_posts.c.state == "waiting") & (watch_posts.c.next_us <= now), silent)
        values: dict[str, JSON] = {"state": "sending", "tries": watch_posts.c.tries + 1, "next_us": now}
        with self._write() as connection:
            here = update(watch_posts).where(watch_posts.c.seq == seq, free)
            return connection.execute(here.values(**values)).rowcount == 1

    def end_post(self, seq: int, state: str, problem: str = "") -> None:
        """It was sent or refused; what it said is forgotten where it was sent."""
        values: dict[str, JSON] = {"state": state, "problem": clean(problem), "sent_us": now_us()}
        if state == "sent":
            values["body"] = ""
        with self._write() as connection:
            connection.execute(update(watch_posts).where(watch_posts.c.seq == seq).values(**values))

    def retry_post(self, seq: int, seconds: float, problem: str) -> None:
        """Not again before so many seconds."""
        values = {"state": "waiting", "next_us": now_us() + to_us(seconds), "problem": clean(problem)}
        with self._write() as connection:
            connection.execute(update(watch_posts).where(watch_posts.c.seq == seq).values(**values))

    def posts_refused(self, name: str) -> list[tuple[str, str]]:
        """What will not be delivered any more, and why."""
        here = (watch_posts.c.watch == name, watch_posts.c.state == "refused")
        query = select(watch_posts.c.key, watch_posts.c.problem).where(*here).order_by(watch_posts.c.seq)
        with self._read() as connection:
            return [(row.key, row.problem) for row in connection.execute(query)]


def _text(body: Any) -> str:
    """As JSON, without keys that are in use."""
    return clean(to_json(hide(body, *known_values().values())))
