"""One calm line on stderr while calls are made; plain lines, and few, where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from reroll.answer import ProgressEvent
from reroll.numbers import counts, interval_words, money, percent, seconds_words
from reroll.render.ink import COLOURS, Pen
from reroll.render.said import short

__all__ = ["Progress", "progress_line"]

PER_SECOND = 8  # redraws; the eye needs no more
SECONDS_BETWEEN_LINES = 5.0  # where the line cannot be redrawn: a log file, CI


def progress_line(event: ProgressEvent, pen: Pen) -> Text:
    """The event as one line; wider than the screen it loses its tail, so what matters comes first."""
    dot = " · " if pen.unicode else " - "
    calls = (
        counts("call", event.calls) if event.budget is None else f"{event.calls:,} of {counts('call', event.budget)}"
    )
    pieces: list[tuple[str, str]] = [(short(event.case_id, 40), "bold"), (calls, "")]
    if event.failures is not None:
        pieces.append((f"{event.failures:,} failed", COLOURS["fail"] if event.failures else ""))
    if event.invalid:
        pieces.append((f"{event.invalid:,} unjudged", COLOURS["invalid"]))
    if event.estimate is not None:
        pieces.append((f"{percent(event.estimate)} ({interval_words(event.low, event.high)})", ""))
    if event.doing:
        pieces.append((event.doing, "dim"))
    if event.question:
        pieces.append((f"deciding: {event.question}", "dim"))
    pieces += [(money(event.usd), "dim"), (seconds_words(event.seconds), "dim")]
    line = pen.join(*[p for i, piece in enumerate(pieces) for p in ([(dot, "dim")] if i else []) + [piece]])
    line.plain = line.plain.replace("\n", " ")
    return pen.ready(line)


class _Stderr(Console):
    """Where nobody reads it any more, the line is dropped; rich would end the command, and with it the run."""

    def __init__(self) -> None:
        super().__init__(file=sys.stderr)

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Progress:
    """Shows `ProgressEvent`s as they come; stdout is never touched, so `--json` stays clean.

    On a terminal the line is redrawn in place and gone at the end. Elsewhere a line is printed at
    a new phase, every few seconds, and for the last event. `quiet` shows nothing.

    >>> import io
    >>> with Progress(Console(file=io.StringIO())) as progress:
    ...     progress.update(ProgressEvent("case", "c", 1, 400, 0, 0, 0.0, 0.0, 0.9, "", None, 0.1))
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or _Stderr()
        self.pen = Pen(self.console)
        self.quiet = quiet
        self.clock = clock
        self._live: Live | None = None
        self._last: ProgressEvent | None = None
        self._printed: ProgressEvent | None = None
        self._printed_at = float("-inf")

    def __enter__(self) -> Progress:
        if self.console.is_terminal and not self.console.is_dumb_terminal and not self.quiet:
            # stdout stays as it is: rich would send it through this console, and so to stderr.
            self._live = Live(
                console=self.console,
                get_renderable=self._now,
                refresh_per_second=PER_SECOND,
                transient=True,
                redirect_stdout=False,
            )
            self._live.start()
        return self

    def update(self, event: ProgressEvent) -> None:
        """Take in where the run stands now; cheap, so it may be called for every sample."""
        before, self._last = self._last, event
        if self.quiet or self._live is not None:  # the live line looks by itself
            return
        changed = before is None or (before.phase, before.case_id) != (event.phase, event.case_id)
        if changed and before is not None:
            self._print(before)
        if changed or self.clock() - self._printed_at >= SECONDS_BETWEEN_LINES:
            self._print(event)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._last is not None and not self.quiet:
            self._print(self._last)

    def _now(self) -> Text:
        """The live line, cut where the screen ends."""
        if self._last is None:
            return Text()
        line = progress_line(self._last, self.pen)
        line.truncate(self.console.width - 1, overflow="ellipsis" if self.pen.unicode else "crop")
        return line

    def _print(self, event: ProgressEvent) -> None:
        """Print the event once, however often it comes."""
        if event is self._printed:
            return
        self._printed, self._printed_at = event, self.clock()
        self.console.print(progress_line(event, self.pen), soft_wrap=True, end="\n", highlight=False)
