"""Storing beside reading: in a thread, and where many calls come, in a process of its own.

Run as `python -m reroll.intake.beside` this is that process: batches come on stdin, what became of each goes out on
stdout. It ends when stdin does, with the batch that it has: whole batches are stored, whoever is killed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import reroll
from reroll.errors import RerollError, StoreError
from reroll.intake.storing import Batch, Stored, loads, read_frame, store_most, to_bytes, write_frame
from reroll.store import Opening, Store

__all__ = ["APART", "Beside"]

# From so many calls on a second process pays: it takes about a second of another core to start. Two threads share
# Python's lock, and half of what storing takes is Python.
APART = 40_000
LOST = (
    "the process that stores what is imported ended in the middle; whole batches are stored, and the same command "
    "again adds the rest"
)


class Beside:
    """Stores one batch while the caller makes the next. Close it, or use it in `with`: it ends what it started."""

    def __init__(self, store: Store, apart: int | None = None) -> None:
        self.store = store
        self._apart = APART if apart is None else apart
        self._given = 0
        self._thread = ThreadPoolExecutor(1)
        self._process: _Process | None = None
        self._result: Callable[[], Stored] | None = None

    def give(self, batch: Batch) -> None:
        """Begin to store it. What was given before must have been settled."""
        self._given += len(batch)
        if self._process is None and self._given > self._apart:
            self._process = _started(self.store)
            if self._process is None:
                self._apart = sys.maxsize  # not tried again
        if self._process is not None and (data := to_bytes(batch)) is not None:
            self._process.give(data)
            self._result = self._process.result
        else:
            self._result = self._thread.submit(store_most, self.store, batch).result

    def settle(self) -> Stored:
        """What became of the batch that was given, once it is stored. Raises: RerollError of that."""
        result, self._result = self._result, None
        return Stored() if result is None else result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            self._process.close()
        self._thread.shutdown()


class _Process:
    """The other process, which has opened the same store."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def give(self, data: bytes) -> None:
        assert self._child.stdin is not None
        try:
            write_frame(self._child.stdin, data)
        except OSError:
            raise StoreError(LOST, slug="import-worker") from None

    def result(self) -> Stored:
        assert self._child.stdout is not None
        data = read_frame(self._child.stdout)
        if data is None:
            raise StoreError(LOST, slug="import-worker")
        said: Stored | RerollError = pickle.loads(data)  # noqa: S301  ours
        if isinstance(said, RerollError):
            raise said
        return said

    def close(self) -> None:
        """Wait for the batch that it has; then it ends."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # it may be gone already
            self._child.stdin.close()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def _started(store: Store) -> _Process | None:
    """None where it would not help, or cannot be: a thread does the same."""
    opening = store.opening
    if opening is None or (os.cpu_count() or 1) < 2:
        return None
    home = str(Path(reroll.__file__).parents[1])
    paths = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        child = subprocess.Popen(
            # -P: no file of the folder that somebody imports in is taken for a module.
            [sys.executable, "-P", "-m", "reroll.intake.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong comes as a reply, in words
            env={**os.environ, "PYTHONPATH": paths},
            process_group=0,  # Ctrl-C is for the one that reads; this one ends with its stdin
        )
    except OSError:
        return None
    process = _Process(child)
    try:
        process.give(pickle.dumps(opening))
        process.result()  # it is there, and has opened the store
    except RerollError:
        process.close()
        return None
    return process


# -- the other process -------------------------------------------------------------------------------------------------


def main() -> None:
    batches, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no reply
    gc.set_threshold(50_000, 20, 100)  # what comes is plain values, in which there are no cycles
    first = read_frame(batches)
    if first is None:
        return
    try:
        opening: Opening = pickle.loads(first)  # noqa: S301
        with opening.open() as store:
            _reply(replies, Stored())
            while (data := read_frame(batches)) is not None:
                _reply(replies, _done(store, data))
    except RerollError as error:
        _reply(replies, error)


def _done(store: Store, data: bytes) -> Stored | RerollError:
    try:
        return store_most(store, loads(data))
    except RerollError as error:
        return error
    except Exception as error:  # what it is must be said over there
        return StoreError(f"the calls could not be stored: {type(error).__name__}: {error}", slug="import-worker")


def _reply(replies: IO[bytes], said: Stored | RerollError) -> None:
    try:
        write_frame(replies, pickle.dumps(said))
    except BrokenPipeError:
        os._exit(1)  # nobody is there to hear it; what was stored is stored


if __name__ == "__main__":
    main()
