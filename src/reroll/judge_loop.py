"""The event loop that judges are asked on, in a thread of its own, and the Ctrl-C that reaches it.

Judging is asked for from code that does not wait for others: the thread that asks stands still meanwhile, and with it
whatever would look whether somebody pressed Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from reroll.engine import run_draws
from reroll.errors import RerollError
from reroll.models.model import Draw, Model
from reroll.sample import Sample

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["CtrlC", "JudgeLoop"]

T = TypeVar("T")

LOOK_EVERY = 0.1  # seconds until a stop is seen


class JudgeLoop:
    """An event loop in a thread of its own, started when first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._loop is not None

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="reroll-judges", daemon=True)
            self._thread.start()
        return self._loop

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns. Raises: what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._started()).result()

    def draw(
        self,
        model: Model,
        draws: Sequence[Draw],
        width: int,
        deadline: float | None,
        settled: Callable[[Sequence[tuple[Draw, Sample]]], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Make the draws, until `stopped` says so; what comes is given to `settled`, in this thread.

        What `settled` raises ends it early too, once what is in flight had its grace and was given to it.
        """
        loop = self._started()
        came: queue.SimpleQueue[tuple[Draw, Sample] | None] = queue.SimpleQueue()
        work = asyncio.run_coroutine_threadsafe(self._run(model, draws, width, deadline, came), loop)
        task, ended = work.result()
        stop = _once(lambda: loop.call_soon_threadsafe(task.cancel))
        failed: RerollError | None = None
        while True:
            if stopped():
                stop()
            try:
                got = [came.get(timeout=LOOK_EVERY)]
                while not came.empty():
                    got.append(came.get())
            except queue.Empty:
                continue
            try:
                if replies := [one for one in got if one is not None]:
                    settled(replies)
            except RerollError as error:
                failed = failed or error
                stop()
            except BaseException:
                stop()
                raise
            if got[-1] is None:
                break
        if failed is not None:
            raise failed
        if ended and not isinstance(ended[0], asyncio.CancelledError):
            raise ended[0]

    @staticmethod
    async def _run(
        model: Model,
        draws: Sequence[Draw],
        width: int,
        deadline: float | None,
        came: queue.SimpleQueue[tuple[Draw, Sample] | None],
    ) -> tuple[asyncio.Task[None], list[BaseException]]:
        """Begin the draws; the task that makes them, and where it puts what ended it."""
        ended: list[BaseException] = []

        async def work() -> None:
            try:
                await run_draws(model, draws, width, lambda draw, sample: came.put((draw, sample)), deadline)
            except BaseException as error:  # told to the thread that waits
                ended.append(error)
            finally:
                came.put(None)

        return asyncio.get_running_loop().create_task(work()), ended

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            loop.close()


def _once(call: Callable[[], object]) -> Callable[[], None]:
    done: list[bool] = []

    def first() -> None:
        if not done:
            done.append(True)
            call()

    return first


class CtrlC:
    """Calls `stop` at once when Ctrl-C is pressed, from the first `held` on until `close`.

    Then it does what Ctrl-C would have done anyhow: end a command's drawing, or the command. While something is held,
    that waits until it is let go, so that what is in flight is stored; a second one ends it there and then.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self.stop = stop
        self._usual: Any = None
        self._held = self._pressed = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What Ctrl-C does besides `stop` waits meanwhile. In other threads than the main one it does so anyhow."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # An event loop that begins to listen after us takes our place: then it is what is told after us.
        if signal.getsignal(signal.SIGINT) != self._heard:
            self._usual = signal.signal(signal.SIGINT, self._heard)
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._pressed:
                self._pressed = False
                self._go_on(signal.SIGINT, None)

    def close(self) -> None:
        """Listen no more, where nobody has taken our place."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == self._heard:
            signal.signal(signal.SIGINT, signal.default_int_handler if self._usual is None else self._usual)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.stop()
        if self._held and self._pressed:
            raise KeyboardInterrupt
        self._pressed = self._held
        if not self._held:
            self._go_on(number, frame)

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        if callable(self._usual):
            self._usual(number, frame)
