"""The command line of watching: words into calls of the functions beneath, registered by `reroll.cli`."""

from __future__ import annotations

from reroll.arguments import Common

__all__ = ["watch"]

COMMON = Common()


def watch(*, once: bool = False, replay: bool = False, common: Common = COMMON) -> int:
    """Watch production's calls: an alarm when they fail more often than is normal, with a stated number of false ones.

    Parameters
    ----------
    once
        Look once and end, as from cron.
    replay
        Say when it would have raised an alarm on all that is stored; nothing is kept and nobody is told.
    """
    from reroll import commands_watch

    return commands_watch.watch(once, replay, common)
