"""The process that runs one job: the very command, a sign of life meanwhile, and how it ended.

`python -m reroll.working JOB --project DIR [--store URL]`. Killed at any moment, the job is taken up again: its command
goes on from what is stored.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from reroll import findings, listening
from reroll.answer import ProgressEvent, to_json
from reroll.asking import ask_instead
from reroll.cli import main as command
from reroll.errors import StoreError
from reroll.job_person import person_of_job
from reroll.settings import setting
from reroll.store import Store
from reroll.store_rows_web import Job, JobState

__all__ = ["MAY", "Beating", "main", "with_options"]

MAY = frozenset("investigate rerun certify compare futures surprise forks phrase audit cause neighbours try".split())
ANSWERED = (0, 1, 3)  # exit codes of a command that gave its answer, whatever that was
QUICK, SLOW = 0.1, 1.0  # seconds between signs of life: when something changed, and at least
MOST_STRIP = 400  # outcomes that are told
SLUG = re.compile(r" \[[a-z-]+\]$")
NOBODY = "the process that ran it ended without a word; run it again, it goes on from what is stored"


class Beating:
    """Tells the store where the job stands, until it ends; sees when it is to stop."""

    def __init__(self, store: Store, job: Job, worker: str) -> None:
        self.store, self.job, self.worker = store, job, worker
        self.lost = self.wanted = False
        self._event: ProgressEvent | None = None
        self._changed = False
        self._counts = (0, 0, 0)  # calls, failures, invalid of the case, as last heard
        self._strip: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Beating:
        listening.listen(self.hear)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._tell()

    @property
    def usd(self) -> float | None:
        """What it cost by the last word; None: not known."""
        return None if self._event is None else self._event.usd

    def hear(self, event: ProgressEvent) -> None:
        if event.phase == "case" and event.failures is not None and not event.doing:
            self._add(event.calls, event.failures, event.invalid)
        self._event, self._changed = event, True

    def _add(self, calls: int, failures: int, invalid: int) -> None:
        """Letters for what is new; several that came together are told failures first."""
        before, self._counts = self._counts, (calls, failures, invalid)
        if calls < before[0] or failures < before[1] or invalid < before[2]:
            self._strip, before = [], (0, 0, 0)
        fails, others = failures - before[1], invalid - before[2]
        passes = max(0, calls - before[0] - fails - others)
        self._strip += ["f"] * fails + ["i"] * others + ["p"] * passes

    def _beat(self) -> None:
        last = 0.0
        while not self._over.wait(QUICK):
            if self._changed or time.monotonic() - last >= SLOW:
                last = time.monotonic()
                with suppress(StoreError):  # a store that is gone for a while; the next beat may reach it
                    self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, False
        stop = self.store.beat(self.job.id, self.worker, self._progress() if changed else None)
        if stop is None:
            self.lost = True
        if (stop or stop is None) and not self.wanted and not self._over.is_set():
            self.wanted = True
            os.kill(os.getpid(), signal.SIGINT)

    def _progress(self) -> dict[str, Any]:
        left_out = max(0, len(self._strip) - MOST_STRIP)
        told: dict[str, Any] = to_json(self._event)
        return {**told, "strip": "".join(self._strip[left_out:]), "strip_from": left_out}


def main(arguments: Sequence[str] | None = None) -> int:
    told = _arguments(arguments)
    place = str(setting("store", told.store) or told.project / ".reroll" / "store.sqlite")
    with Store.open(place, create=False) as store:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        if not store.claim_job(told.job, worker):
            return 0
        job = store.job(told.job)
        if job.words[0] not in MAY:
            store.end_job(job.id, "failed", worker=worker, message=f"`{job.words[0]}` is no command for a job")
            return 0
        findings.job(job.id, job.report_id)
        # What one that was killed had found already is this job's answer; only its end was not written down.
        if (found := store.findings(job_id=job.id, limit=1)) and found[0].command == job.words[0]:
            store.end_job(job.id, "done", worker=worker, finding_id=found[0].id)
            return 0
        ask_instead(person_of_job(store, job.id))
        try:
            _run(store, job, worker, told)
        finally:
            ask_instead(None)
    return 0


def _run(store: Store, job: Job, worker: str, told: argparse.Namespace) -> None:
    said, before = io.StringIO(), store.newest()
    options = ["--json", "--yes", "--quiet", "--project", str(told.project)]
    options += [] if told.store is None else ["--store", told.store]
    with Beating(store, job, worker) as beating, redirect_stdout(_Nowhere()), redirect_stderr(said):
        code = command(with_options(job.words, options))
    found = findings.last()
    if beating.lost:  # somebody else has the job; they write its end
        return
    wanted = beating.wanted or store.job(job.id).stop_us is not None
    state, message = ended(code, said.getvalue(), wanted)
    usd = 0.0 if store.newest() == before else beating.usd
    if found is not None:
        usd = (store.finding_body(found).get("cost") or {}).get("usd")
    store.end_job(job.id, state, worker=worker, finding_id=found, message=message, usd=usd)


def ended(code: int, said: str, wanted: bool) -> tuple[JobState, str]:
    """How a command ended, and why if it could not be done: the sentence that it would have printed."""
    if code in ANSWERED:
        return "done", ""
    if wanted:
        return "stopped", ""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("warning:")]
    sentence = next((line for line in reversed(lines) if line.startswith("reroll:")), lines[-1] if lines else NOBODY)
    return "failed", SLUG.sub("", sentence.removeprefix("reroll:")).strip()


def with_options(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The command line with these options before what is no option.

    >>> with_options(["rerun", "--", "a"], ["--json"])
    ['rerun', '--json', '--', 'a']
    """
    at = words.index("--") if "--" in words else len(words)
    return [*words[:at], *options, *words[at:]]


class _Nowhere(io.TextIOBase):
    """What a command prints goes nowhere: the store has it."""

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reroll.working", description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--project", type=Path, default=Path("."))
    parser.add_argument("--store")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
