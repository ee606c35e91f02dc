"""The part of the store that knows what was said of calls elsewhere, and joins it to them, whichever comes first.

An evaluation finds its call by trace and span, else by the server's own name for its answer, where that names one call.
Until then it waits. What the evaluations of a call say together is the reward of its samples; where that changes, what
checks said of the reward before is taken back, so that they are asked again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, tuple_, update

from reroll import store_sql as sql
from reroll.store_base import Database, chunks, now_us
from reroll.store_origins import LONGEST, as_kept
from reroll.store_rows import Evaluation, Origin, clean
from reroll.store_schema import evaluations, origins, outcomes, samples

__all__ = ["WAITING", "Evaluated", "join_waiting", "standing", "verdict_of"]

ADD = sql.insert_new(evaluations)
LONGEST_COMMENT = 8000  # characters, as in what goes out
WAITS = evaluations.c.sample_id.is_(None)
WAITING = select(func.count()).select_from(evaluations).where(WAITS)
JOINED = update(evaluations).where(evaluations.c.seq == bindparam("at")).values(sample_id=bindparam("sample"))
REWARDED = update(samples).where(samples.c.id == bindparam("of")).values(reward=bindparam("value"))
# What a check said hangs on the reward exactly where its reason speaks of it: a part that did not decide is not in it.
OF_REWARD = or_(outcomes.c.reason.contains("recorded reward is "), outcomes.c.reason.contains("no reward was recorded"))
VERDICTS = {"pass", "fail"}
PLAIN = tuple(name for name in Evaluation.__dataclass_fields__ if name != "said")  # columns of the same names


def verdict_of(told: Sequence[Evaluation], several: bool = False) -> float | None:
    """0 where one evaluation that stands says fail, 1 where every one that has a label says pass; else None.

    Of one name and scorer the later `pass` or `fail` stands. Where a time is missing nobody knows which is the later:
    then both do, and one fail is a failure. A score by itself, without a label, says nothing: whether much of it is
    good, only its name says. Of `several` completions it is not known which one an evaluation is about, so there all
    must say the same.

    >>> from dataclasses import replace
    >>> first = Evaluation("t", "s", "", "right", "fail", said=1.0)
    >>> later, other = replace(first, label="pass", said=2.0), replace(first, name="tone", label="pass")
    >>> verdict_of([first]), verdict_of([first, later]), verdict_of([first, other]), verdict_of([later, other])
    (0.0, 1.0, 0.0, 1.0)
    >>> verdict_of([first, replace(later, said=None)]), verdict_of([replace(later, label="low")])
    (0.0, None)
    """
    said = {one.label for one in (told if several else standing(told)) if one.label}
    if several and len(said) > 1:
        return None
    return 0.0 if "fail" in said else 1.0 if said == {"pass"} else None


def standing(told: Sequence[Evaluation]) -> list[Evaluation]:
    """Those that no later one of the same name and scorer took the place of."""
    alike: dict[tuple[str, str], list[Evaluation]] = defaultdict(list)
    for one in told:
        alike[one.name, one.scorer].append(one)
    stand = []
    for of_one in alike.values():
        times = [one.said for one in of_one if one.label in VERDICTS]
        newest = max((at for at in times if at is not None), default=None)
        if None in times:
            newest = None
        stand += [one for one in of_one if one.label not in VERDICTS or newest is None or one.said == newest]
    return stand


class Evaluated(Database):
    """The evaluations of a `Store`."""

    def put_evaluations(self, found: Iterable[Evaluation]) -> tuple[int, int]:
        """Keep them, each once, joined to their calls where these are here. Returns how many were not known yet, and
        how many of all of them wait."""
        now = now_us()
        rows = {key: {"key": key, **row, "came_us": now} for row in map(_row, found) for key in [_key(row)]}
        new, waiting = 0, 0
        for keys in chunks(list(rows)):
            with self._write() as connection:
                here = evaluations.c.key.in_(keys)
                known = connection.execute(select(func.count()).select_from(evaluations).where(here)).scalar_one()
                new += len(keys) - known
                sql.add_all(connection, ADD, [rows[key] for key in keys])
                _join(connection, connection.execute(select(evaluations).where(here, WAITS)).all())
                waiting += connection.execute(
                    select(func.count()).select_from(evaluations).where(here, WAITS)
                ).scalar_one()
        return new, waiting

    def evaluations(self, sample_ids: Collection[str]) -> dict[str, list[Evaluation]]:
        """What was said of these samples' calls, by sample id, in the order in which it came."""
        with self._read() as connection:
            return _told(connection, sample_ids)

    def evaluations_about(self, sample_id: str) -> list[Evaluation]:
        """What was said of the call that brought this sample, also where another sample of it came first."""
        own = origins.alias()
        call = (
            select(origins.c.sample_id)
            .join(own, and_(origins.c.trace == own.c.trace, origins.c.span == own.c.span, own.c.span != ""))
            .where(own.c.sample_id == sample_id)
        )
        with self._read() as connection:
            found = _told(connection, {sample_id, *connection.execute(call).scalars()})
        return [one for said in found.values() for one in said]

    def evaluated(self) -> tuple[int, int]:
        """How many evaluations there are, and how many of them wait for their call."""
        with self._read() as connection:
            whole = connection.execute(select(func.count()).select_from(evaluations)).scalar_one()
            return whole, connection.execute(WAITING).scalar_one()


def join_waiting(connection: Connection, made: Sequence[Origin]) -> None:
    """Join what is about the calls that were made there, in the transaction that stores them.

    Looked at again are also those that have a call: this one may be the one they name by its span, or have the same
    name as theirs, which then names neither.
    """
    kept = [as_kept(one) for one in made]
    places = {(one.trace, one.span) for one in kept if one.span}
    responses = {one.response for one in kept if one.response}
    found = {}
    for part in chunks(sorted(places)):
        here = select(evaluations).where(tuple_(evaluations.c.trace, evaluations.c.span).in_(part))
        found.update({row.seq: row for row in connection.execute(here)})
    for names in chunks(sorted(responses)):
        here = select(evaluations).where(evaluations.c.response.in_(names))
        found.update({row.seq: row for row in connection.execute(here)})
    _join(connection, [found[seq] for seq in sorted(found)])


def _join(connection: Connection, looked_at: Sequence[Any]) -> None:
    """Join each to its call, as far as it is here, and give the samples concerned what all of it says."""
    joined: dict[int, str | None] = {}
    concerned: set[str] = set()
    for part in chunks(looked_at):
        by_place, by_response = _calls(connection, part)
        for one in part:
            sample = by_place.get((one.trace, one.span)) or by_response.get(one.response)
            if sample != one.sample_id:
                joined[one.seq] = sample
                concerned |= {id for id in (sample, one.sample_id) if id is not None}
    if joined:
        connection.execute(JOINED, [{"at": seq, "sample": sample} for seq, sample in joined.items()])
        for ids in chunks(sorted(concerned)):
            _reward(connection, ids)


def _calls(connection: Connection, waiting: Sequence[Any]) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """The first sample of each call that these may be about: by trace and span, and by the name of its answer."""
    # Put in order here: asked for in the order of storing, SQLite would go through all samples.
    stored = select(origins, samples.c.seq).join(samples, samples.c.id == origins.c.sample_id)
    places = sorted({(one.trace, one.span) for one in waiting if one.span})
    names = sorted({one.response for one in waiting if one.response})
    by_place: dict[tuple[str, str], str] = {}
    if places:
        rows = connection.execute(stored.where(tuple_(origins.c.trace, origins.c.span).in_(places))).all()
        for row in sorted(rows, key=lambda row: row.seq):
            by_place.setdefault((row.trace, row.span), row.sample_id)
    by_response: dict[str, dict[tuple[str, str], str]] = {}
    if names:
        rows = connection.execute(stored.where(origins.c.response.in_(names))).all()
        for row in sorted(rows, key=lambda row: row.seq):
            by_response.setdefault(row.response, {}).setdefault((row.trace, row.span), row.sample_id)
    # Some servers give every answer the same name: that names none of them.
    return by_place, {name: next(iter(calls.values())) for name, calls in by_response.items() if len(calls) == 1}


def _reward(connection: Connection, ids: Sequence[str]) -> None:
    """Give the samples of these calls, each named by its first, what its evaluations say together."""
    told = _told(connection, ids)
    first = origins.alias()
    same = and_(origins.c.trace == first.c.trace, origins.c.span == first.c.span, first.c.span != "")
    of = (
        select(first.c.sample_id, samples.c.id, samples.c.reward, samples.c.choice)
        .select_from(first)
        .join(origins, or_(origins.c.sample_id == first.c.sample_id, same))
        .join(samples, samples.c.id == origins.c.sample_id)
        .where(first.c.sample_id.in_(ids), samples.c.text.is_not(None))
    )
    calls: dict[str, list[Any]] = {}
    for row in connection.execute(of):
        calls.setdefault(row.sample_id, []).append(row)
    changed = []
    for id, rows in calls.items():
        said = told.get(id, [])
        verdict, words = verdict_of(said, any(row.choice for row in rows)), {one.label for one in said}
        for row in rows:
            # Versions before 0009 kept the reward alone of what came with a call: a failure of then, which none of
            # these evaluations made, stays one; and what says neither pass nor fail takes nothing back.
            kept = (verdict and row.reward == 0 and "fail" not in words) or (said and not words & VERDICTS)
            value = row.reward if kept else verdict
            if value != row.reward:
                changed.append({"of": row.id, "value": value})
    if changed:
        connection.execute(REWARDED, changed)
        connection.execute(delete(outcomes).where(outcomes.c.sample_id.in_([one["of"] for one in changed]), OF_REWARD))


def _told(connection: Connection, sample_ids: Collection[str]) -> dict[str, list[Evaluation]]:
    """What was said of these samples' calls, by sample id, in the order in which it came."""
    found: dict[str, list[Evaluation]] = {}
    names = [evaluations.c[name] for name in PLAIN]
    for part in chunks(sorted(sample_ids)):
        query = select(evaluations.c.sample_id, evaluations.c.said_us, *names)
        query = query.where(evaluations.c.sample_id.in_(part)).order_by(evaluations.c.seq)
        for id, said_us, *plain in connection.execute(query):
            said = None if said_us is None else said_us / 1e6
            found.setdefault(id, []).append(Evaluation(**dict(zip(PLAIN, plain, strict=True)), said=said))
    return found


def _row(one: Evaluation) -> dict[str, str | float | None]:
    return {
        "trace": clean(one.trace)[:LONGEST],
        "span": clean(one.span)[:LONGEST],
        "response": clean(one.response)[:LONGEST],
        "name": clean(one.name)[:LONGEST],
        "label": clean(one.label)[:LONGEST],
        "score": one.score,
        "comment": clean(one.comment)[:LONGEST_COMMENT],
        "scorer": clean(one.scorer)[:LONGEST],
        "said_us": None if one.said is None else round(one.said * 1e6),
        "sample_id": None,
    }


def _key(row: dict[str, str | float | None]) -> bytes:
    text = repr([row[name] for name in (*PLAIN, "said_us")])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
