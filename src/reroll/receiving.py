"""Received batches into samples: read by the same intake as files; a call is taken once, wherever else it also came.

A batch is read by whoever claims it, so several servers share the work and a restart goes on with it. Which batch a
call belongs to is decided before the call is stored. So spans that are sent twice, and a span and a log record about
one call, are one sample, also where a process is killed between any two steps.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reroll.errors import StoreError
from reroll.intake.casing import Placed, place
from reroll.intake.otlp import NO_CALL, TWICE, take_spans
from reroll.intake.otlp_bodies import Body, spans_in, unpacked
from reroll.intake.recording import Recording
from reroll.intake.taken import Evaluated, Skipped, Taken
from reroll.intake.traffic import LATER, Known, take_in
from reroll.project import Project
from reroll.store import Store
from reroll.store_received import ReceivedBatch
from reroll.store_rows import Evaluation

__all__ = ["HELD_A_KEY", "Reader"]

STALE = 3.0  # seconds without a sign of life after which another reads a batch
BEAT = 0.5
GROUP = 8192  # spans that are read together: enough that what a group costs by itself is little
BROKEN = "is a span that cannot be read"
HELD_A_KEY = "held a key in use, so that it was not kept"


@dataclass(frozen=True, slots=True)
class _Call:
    """A call with the batch that it is in, and what it is told apart by: its ids, and what it answered to a turn.

    why: what is said of it where it came before.
    """

    keys: tuple[bytes, ...]
    seq: int
    taken: Taken
    why: str = TWICE


@dataclass(slots=True)
class _Found:
    """What some batches hold: calls, what is said of calls, and what is neither, counted by reason."""

    calls: list[_Call] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


class Reader:
    """Reads what was received into a store. `project`: what the project is now, None where there is none."""

    def __init__(self, store: Store, folder: Path, project: Callable[[], Project | None]) -> None:
        self.store, self.folder, self.project = store, folder, project
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._seen: tuple[Project | None, Known] = (None, Known())

    def read(self) -> bool:
        """Whether there was something: it is read now, or kept with the reason why it cannot be.

        Raises: RerollError where the store or the project's files cannot be used now; nothing is lost, and it may be
        called again.
        """
        worker, project = f"{self.name}:{secrets.token_hex(4)}", self.project()
        group = self.store.claim_received(worker, STALE, GROUP)
        if not group:
            return False
        try:
            with self._beating(worker, group):
                self._read(worker, group, project)
        except StoreError:
            with suppress(StoreError):
                self.store.free_received(worker, [one.seq for one in group])
            raise
        return True

    def _read(self, worker: str, group: Sequence[ReceivedBatch], project: Project | None) -> None:
        try:
            self._take(worker, group, project)
        except StoreError:
            raise
        except Exception as error:  # one of them, whatever it is: the others are not kept waiting
            if len(group) > 1:
                for one in group:
                    self._read(worker, [one], project)
            else:
                self._spoil(worker, group[0], project, error)

    def _take(self, worker: str, group: Sequence[ReceivedBatch], project: Project | None) -> None:
        found = _Found()
        for one in group:
            _look(one, found)
        seen = self._store(self._ours(found), project)
        self.store.put_evaluations(found.evaluations)  # each once, whoever else reads the batch
        self.store.end_received(worker, [one.seq for one in group], _counts(group, found, seen))

    def _spoil(self, worker: str, one: ReceivedBatch, project: Project | None, error: Exception) -> None:
        """Keep a batch that cannot be read as a whole; of its calls, each by itself, those are taken that can be."""
        found, failed = _Found(), list[bytes]()
        with suppress(ValueError):
            _look(one, found)
        for call in self._ours(found):
            try:
                self._store([call], project)
            except StoreError:
                raise
            except Exception as alone:
                error, failed = alone, [*failed, *call.keys]
        self.store.put_evaluations(found.evaluations)
        self.store.spoil_received(worker, one.seq, f"{type(error).__name__}: {error}", failed)

    def _ours(self, found: _Found) -> list[_Call]:
        """The calls that were in no batch before; the others are counted."""
        first = self.store.first_in((key, call.seq) for call in found.calls for key in call.keys)
        ours = []
        for call in found.calls:
            if all(first[key] == call.seq for key in call.keys):
                ours.append(call)
            else:
                found.skipped[call.why] += 1
        return ours

    def _store(self, calls: Sequence[_Call], project: Project | None) -> Recording:
        """Not judged here: a check may be slow, or need a person, and what is stored can be judged at any time."""
        taken, known = [call.taken for call in calls], self._known(project)
        return take_in(taken, store=self.store, folder=self.folder, project=project, judged=False, known=known)

    def _known(self, project: Project | None) -> Known:
        """The requests and cases that were stored since the project last changed: they come again and again."""
        if self._seen[0] is not project:
            self._seen = (project, Known())
        return self._seen[1]

    @contextmanager
    def _beating(self, worker: str, group: Sequence[ReceivedBatch]) -> Iterator[None]:
        """Signs of life while the group is read, however long that takes."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT):
                with suppress(StoreError):
                    self.store.beat_received(worker, [one.seq for one in group])

        beater = threading.Thread(target=beat, daemon=True)
        beater.start()
        try:
            yield
        finally:
            over.set()


def _look(one: ReceivedBatch, found: _Found) -> None:
    """Add what this batch holds. Raises: Junk, TooMuch for one that was damaged since it was acknowledged."""
    body = Body(one.signal, one.encoding, one.packing, one.body)  # type: ignore[arg-type]
    data = unpacked(body)
    inside = spans_in(body, data)
    found.skipped[NO_CALL] += inside.others
    found.skipped[BROKEN] += inside.broken + one.broken
    found.skipped[HELD_A_KEY] += one.refused
    same: set[int] = set()
    for i, span in enumerate(inside.spans):
        place = f"received batch {one.seq}"
        if not span.id:  # told apart by its content and place, so that the same batch sent again is the same
            place = f"received {hashlib.blake2b(data, digest_size=8).hexdigest()}, entry {i}"
        for taken in take_spans(place, (span,), same):
            if isinstance(taken, Skipped):
                found.skipped[taken.why] += 1
            elif isinstance(taken, Evaluated):
                found.evaluations.append(taken.evaluation)
            else:
                found.calls.append(_call(taken, one.seq))


def _call(taken: Taken, seq: int) -> _Call:
    """With what it is told apart by. Only where tools were called has the answer to a turn ids of its own."""
    span = taken.ids.get("span")
    keys = [f"{taken.ids.get('trace', '')}/{span}"] if span else []
    why = TWICE
    if _uses_tools(taken):
        placed = place(taken)
        if isinstance(placed, Placed) and placed.again:
            keys.append(f"answer {placed.again}")
            why = LATER if placed.later else TWICE
    return _Call(tuple(hashlib.blake2b(key.encode(), digest_size=16).digest() for key in keys), seq, taken, why)


def _uses_tools(taken: Taken) -> bool:
    said = taken.completion
    if said is not None and said.tool_calls:
        return True
    messages = taken.body.get("messages")
    return isinstance(messages, list) and any(isinstance(m, dict) and m.get("tool_calls") for m in messages)


def _counts(group: Sequence[ReceivedBatch], found: _Found, seen: Recording) -> dict[tuple[str, str], int]:
    counts = {
        ("batches", ""): len(group),
        ("spans", ""): sum(one.spans + one.broken + one.refused for one in group),
        ("taken", ""): 0 if seen.intake is None else sum(seen.intake.formats.values()),
        ("stored", ""): seen.stored,
        ("evaluations", ""): len(found.evaluations),
    }
    skipped = found.skipped
    for left in () if seen.intake is None else seen.intake.left_out:
        skipped[left.why] += left.count
    return counts | {("skipped", why): n for why, n in skipped.items() if n}
