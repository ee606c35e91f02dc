"""The part of the store that keeps jobs, each asked once and run by one worker, and access tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update

from reroll import store_sql as sql
from reroll.errors import UsageError
from reroll.keys import hide, known_values
from reroll.store_base import Database, new_id, now_us
from reroll.store_rows import clean, to_json
from reroll.store_rows_web import AccessToken, Job, JobState, job_from_row
from reroll.store_schema import access_tokens, job_questions, jobs

__all__ = ["Jobs"]

JSON = Any
FIELDS = tuple(jobs.c[name] for name in Job.__dataclass_fields__)
TOKEN_FIELDS = tuple(access_tokens.c[name] for name in AccessToken.__dataclass_fields__)
ACTIVE = ("waiting", "running")


class Jobs(Database):
    """Jobs and access tokens of a `Store`."""

    def ask_job(
        self,
        words: Sequence[str],
        *,
        title: str,
        key: str,
        by: str,
        token_id: str | None = None,
        case_id: str | None = None,
        report_id: str | None = None,
        max_calls: int | None = None,
        max_usd: float | None = None,
    ) -> tuple[Job, bool]:
        """The job with this key that waits or runs, or else a new one that waits; and whether it is new.

        However many ask at the same moment, there is one.
        """
        now = now_us()
        row = {
            "id": new_id("j"),
            "key": key,
            "words": to_json([clean(word) for word in words]),
            "title": clean(title),
            "asked_by": clean(by),
            "token_id": token_id,
            "case_id": case_id,
            "report_id": report_id,
            "state": "waiting",
            "asked_us": now,
            "changed_us": now,
            "message": "",
            "max_calls": max_calls,
            "max_usd": max_usd,
        }
        active = select(*FIELDS).where(jobs.c.key == key, jobs.c.state.in_(ACTIVE))
        with self._write() as connection:
            new = connection.execute(sql.insert_new(jobs).returning(jobs.c.id), row).one_or_none() is not None
            found = connection.execute(active).one()
        return job_from_row(found._asdict()), new

    def job(self, id: str) -> Job:
        """Raises: UsageError if unknown."""
        with self._read() as connection:
            row = connection.execute(select(*FIELDS).where(jobs.c.id == id)).one_or_none()
        if row is None:
            raise UsageError(f"no stored job has the id `{id}`", slug="unknown-job")
        return job_from_row(row._asdict())

    def jobs(
        self,
        *,
        states: Collection[JobState] | None = None,
        case_id: str | None = None,
        report_id: str | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """The matching ones, the newest first."""
        wanted: list[ColumnElement[bool]] = [] if states is None else [jobs.c.state.in_(list(states))]
        wanted += [jobs.c.case_id == case_id] if case_id is not None else []
        wanted += [jobs.c.report_id == report_id] if report_id is not None else []
        return self._jobs(*wanted, limit=limit)

    def stale_jobs(self, seconds: float) -> list[Job]:
        """Jobs that run, and whose worker gave no sign of life for so long."""
        beat = func.coalesce(jobs.c.beat_us, jobs.c.started_us)
        return self._jobs(jobs.c.state == "running", beat < now_us() - round(seconds * 1e6))

    def _jobs(self, *wanted: ColumnElement[bool], limit: int | None = None) -> list[Job]:
        query = select(*FIELDS).where(*wanted).order_by(jobs.c.seq.desc()).limit(limit)
        with self._read() as connection:
            return [job_from_row(row._asdict()) for row in connection.execute(query)]

    def claim_job(self, id: str, worker: str, stale_seconds: float = 10.0) -> bool:
        """Whether this worker has the job from now on: it waited, or its worker is silent for so long."""
        now = now_us()
        beat = func.coalesce(jobs.c.beat_us, jobs.c.started_us)
        free = or_(jobs.c.state == "waiting", (jobs.c.state == "running") & (beat < now - round(stale_seconds * 1e6)))
        values = {"state": "running", "worker": worker, "started_us": now, "beat_us": now, "changed_us": now}
        with self._write() as connection:
            return connection.execute(update(jobs).where(jobs.c.id == id, free).values(**values)).rowcount == 1

    def beat(self, id: str, worker: str, progress: Mapping[str, JSON] | None = None) -> bool | None:
        """Give a sign of life: whether the job is to stop; None: another has it, or it is over."""
        now = now_us()
        values: dict[str, JSON] = {"beat_us": now}
        if progress is not None:
            values |= {"progress": to_json(progress), "changed_us": now}
        mine = (jobs.c.id == id, jobs.c.worker == worker, jobs.c.state == "running")
        with self._write() as connection:
            row = connection.execute(update(jobs).where(*mine).values(**values).returning(jobs.c.stop_us)).one_or_none()
        return None if row is None else row.stop_us is not None

    def stop_job(self, id: str) -> None:
        """Want it stopped: one that waits is over, one that runs stops as at Ctrl-C. One that is over stays so.

        Raises: UsageError if unknown.
        """
        now = now_us()
        with self._write() as connection:
            waits = update(jobs).where(jobs.c.id == id, jobs.c.state == "waiting")
            connection.execute(waits.values(state="stopped", stop_us=now, ended_us=now, changed_us=now))
            runs = update(jobs).where(jobs.c.id == id, jobs.c.state == "running")
            connection.execute(runs.values(stop_us=now, changed_us=now))
        self.job(id)

    def end_job(
        self,
        id: str,
        state: JobState,
        *,
        worker: str | None = None,
        finding_id: str | None = None,
        message: str = "",
        usd: float | None = None,
    ) -> bool:
        """Whether this ended it: it ran, and with a `worker` this one had it."""
        now, hidden = now_us(), clean(hide(message, *known_values().values()))
        values = {"state": state, "finding_id": finding_id, "message": hidden, "usd": usd}
        mine = [jobs.c.id == id, jobs.c.state.in_(ACTIVE), *([] if worker is None else [jobs.c.worker == worker])]
        ending = update(jobs).where(*mine).values(**values, ended_us=now, changed_us=now)
        with self._write() as connection:
            return connection.execute(ending).rowcount == 1

    # -- what jobs ask people ------------------------------------------------------------------------------------------

    def ask_person(self, job_id: str, question: Mapping[str, JSON]) -> int:
        """The number of the question. One that was left open by a worker that was lost is asked anew, not twice."""
        with self._write() as connection:
            here = job_questions.c.job_id == job_id
            connection.execute(job_questions.delete().where(here, job_questions.c.answer.is_(None)))
            n = connection.execute(select(func.coalesce(func.max(job_questions.c.n), -1)).where(here)).scalar_one() + 1
            row = {"job_id": job_id, "n": n, "question": to_json(question), "asked_us": now_us()}
            connection.execute(job_questions.insert(), row)
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(changed_us=now_us()))
        return int(n)

    def open_question(self, job_id: str) -> tuple[int, dict[str, JSON]] | None:
        """What the job waits for people to say, if it does."""
        query = select(job_questions.c.n, job_questions.c.question).where(
            job_questions.c.job_id == job_id, job_questions.c.answer.is_(None)
        )
        with self._read() as connection:
            row = connection.execute(query.order_by(job_questions.c.n.desc()).limit(1)).one_or_none()
        return None if row is None else (row.n, json.loads(row.question))

    def answer_question(self, job_id: str, n: int, answer: str, by: str) -> bool:
        """Whether this answered it; the first answer counts."""
        here = (job_questions.c.job_id == job_id, job_questions.c.n == n, job_questions.c.answer.is_(None))
        said = update(job_questions).where(*here).values(answer=answer, by=clean(by), answered_us=now_us())
        with self._write() as connection:
            return connection.execute(said).rowcount == 1

    def answer_of(self, job_id: str, n: int) -> str | None:
        here = (job_questions.c.job_id == job_id, job_questions.c.n == n)
        with self._read() as connection:
            row = connection.execute(select(job_questions.c.answer).where(*here)).one_or_none()
        return None if row is None else row.answer

    # -- access tokens -------------------------------------------------------------------------------------------------

    def new_token(self, name: str, scopes: Sequence[str], max_usd: float | None = None) -> tuple[str, str]:
        """Its id, and the secret, which is shown this once: only its hash is kept.

        Whoever may do anything may read, but for a program that may only `send`.
        """
        secret = f"rr_{secrets.token_urlsafe(24)}"
        row = {
            "id": new_id("t"),
            "hash": _hash(secret),
            "name": clean(name),
            "scopes": to_json(sorted({*scopes} if {*scopes} == {"send"} else {"read", *scopes})),
            "max_usd": max_usd,
            "made_us": now_us(),
        }
        with self._write() as connection:
            connection.execute(access_tokens.insert(), row)
        return str(row["id"]), secret

    def token_of(self, secret: str) -> AccessToken | None:
        """The token with this secret, if it is in force."""
        return next(
            iter(self._tokens(access_tokens.c.hash == _hash(secret), access_tokens.c.revoked_us.is_(None))), None
        )

    def tokens(self) -> list[AccessToken]:
        """All, in the order in which they were made."""
        return self._tokens()

    def _tokens(self, *wanted: ColumnElement[bool]) -> list[AccessToken]:
        query = select(*TOKEN_FIELDS).where(*wanted).order_by(access_tokens.c.made_us)
        with self._read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [AccessToken(**{**row, "scopes": tuple(json.loads(row["scopes"]))}) for row in rows]

    def revoke_token(self, id: str) -> None:
        """It opens nothing any more. Raises: UsageError if unknown."""
        with self._write() as connection:
            here = update(access_tokens).where(access_tokens.c.id == id)
            found = connection.execute(here.values(revoked_us=func.coalesce(access_tokens.c.revoked_us, now_us())))
        if found.rowcount != 1:
            raise UsageError(f"no access token has the id `{id}`; `reroll token` lists them", slug="unknown-token")

    def spent_by_token(self, id: str) -> float | None:
        """What the jobs of this token cost together in US dollars; one that runs counts with all it may cost.

        None: of one it is not known.
        """
        query = select(jobs.c.state, jobs.c.usd, jobs.c.max_usd, jobs.c.started_us).where(jobs.c.token_id == id)
        with self._read() as connection:
            rows = connection.execute(query).all()
        never = [row.state == "stopped" and row.started_us is None for row in rows]  # before it began: it cost nothing
        costs = [
            0.0 if idle else row.max_usd if row.state in ACTIVE else row.usd
            for row, idle in zip(rows, never, strict=True)
        ]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
