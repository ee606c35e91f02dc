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
from reroll.intake.otlp import NO_CALL, TWICE, take_spans
from reroll.intake.otlp_bodies import Body, spans_in, unpacked
from reroll.intake.recording import Recording
from reroll.intake.taken import Skipped, Taken
from reroll.intake.traffic import take_in
from reroll.project import Project
from reroll.store import Store
from reroll.store_received import ReceivedBatch

__all__ = ["HELD_A_KEY", "Reader"]

STALE = 3.0  # seconds without a sign of life after which another reads a batch
BEAT = 0.5
GROUP = 8192  # spans that are read together: enough that what a group costs by itself is little
BROKEN = "is a span that cannot be read"
HELD_A_KEY = "held a key in use, so that it was not kept"


@dataclass(slots=True)
class _Found:
    """What some batches hold: calls, with what each is told apart by and the batch it is in; and what is no call."""

    calls: list[tuple[bytes | None, int, Taken]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


class Reader:
    """Reads what was received into a store. `project`: what the project is now, None where there is none."""

    def __init__(self, store: Store, folder: Path, project: Callable[[], Project | None]) -> None:
        self.store, self.folder, self.project = store, folder, project
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._seen: tuple[Project | None, tuple[set[str], set[str]]] = (None, (set(), set()))

    def read(self) -> bool:
        """Whether there was something: it is read now, or kept with the reason why it cannot be.

        Raises: RerollError where the store or the project's files cannot be used now; nothing is lost, and it may be
        called again.
        """
        worker, project = f"{self.name}:{secrets.token_hex(4)}", self.project()
        group = self.store.claim_received(worker, STALE, GROUP)
        if not group:
            return False
        with self._beating(worker, group):
            try:
                self._take(worker, group, project)
            except StoreError:
                with suppress(StoreError):
                    self.store.free_received(worker, [one.seq for one in group])
                raise
            except Exception:  # one of them, whatever it is: the others are not kept waiting
                self._one_by_one(worker, group, project)
        return True

    def _one_by_one(self, worker: str, group: Sequence[ReceivedBatch], project: Project | None) -> None:
        for one in group:
            try:
                self._take(worker, [one], project)
            except StoreError:
                raise
            except Exception as error:
                self.store.spoil_received(worker, one.seq, f"{type(error).__name__}: {error}")

    def _take(self, worker: str, group: Sequence[ReceivedBatch], project: Project | None) -> None:
        found = _Found()
        for one in group:
            _look(one, found)
        ours = self.store.first_in((key, seq) for key, seq, _ in found.calls if key is not None)
        mine = [taken for key, seq, taken in found.calls if key is None or ours[key] == seq]
        found.skipped[TWICE] += len(found.calls) - len(mine)
        # Not judged here: a check may be slow, or need a person, and what is stored can be judged at any time.
        seen = take_in(
            mine, store=self.store, folder=self.folder, project=project, judged=False, known=self._known(project)
        )
        self.store.end_received(worker, [one.seq for one in group], _counts(group, found, seen))

    def _known(self, project: Project | None) -> tuple[set[str], set[str]]:
        """The requests and cases that were stored since the project last changed: they come again and again."""
        if self._seen[0] is not project:
            self._seen = (project, (set(), set()))
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
    place = f"received batch {one.seq}"
    same: set[int] = set()
    for i, span in enumerate(inside.spans):
        if not span.id:  # told apart by its content and place, so that the same batch sent again is the same
            place = f"received {hashlib.blake2b(data, digest_size=8).hexdigest()}, entry {i}"
        for taken in take_spans(place, (span,), same):
            if isinstance(taken, Skipped):
                found.skipped[taken.why] += 1
            else:
                found.calls.append((_key(taken), one.seq, taken))


def _key(taken: Taken) -> bytes | None:
    """What a call is told from all others by; None where it has no ids."""
    span = taken.ids.get("span")
    if not span:
        return None
    return hashlib.blake2b(f"{taken.ids.get('trace', '')}/{span}".encode(), digest_size=16).digest()


def _counts(group: Sequence[ReceivedBatch], found: _Found, seen: Recording) -> dict[tuple[str, str], int]:
    counts = {
        ("batches", ""): len(group),
        ("spans", ""): sum(one.spans + one.broken + one.refused for one in group),
        ("taken", ""): 0 if seen.intake is None else sum(seen.intake.formats.values()),
        ("stored", ""): seen.stored,
    }
    skipped = found.skipped
    for left in () if seen.intake is None else seen.intake.left_out:
        skipped[left.why] += left.count
    return counts | {("skipped", why): n for why, n in skipped.items() if n}
