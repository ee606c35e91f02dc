"""Who else hears where a run stands, besides the line on stderr: a job tells the pages so."""

from __future__ import annotations

from collections.abc import Callable

from reroll.answer import ProgressEvent

__all__ = ["heard", "listen"]

Update = Callable[[ProgressEvent], None]
_listeners: list[Update] = []


def listen(listener: Update) -> None:
    """Tell this one too, for as long as the process lives; it must be quick, and called from any thread."""
    _listeners.append(listener)


def heard(update: Update) -> Update:
    """`update`, and whoever listens."""
    if not _listeners:
        return update

    def tell(event: ProgressEvent) -> None:
        update(event)
        for listener in _listeners:
            listener(event)

    return tell
