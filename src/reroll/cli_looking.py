"""The commands that show what is stored, and the one that sends a stored request again, as they are typed."""

from __future__ import annotations

from reroll.arguments import Common, Pictures

__all__ = ["replay", "samples", "show"]

COMMON, PICTURES = Common(), Pictures()


def samples(
    case: str | None = None,
    /,
    *,
    limit: int = 50,
    tree: bool = False,
    group: bool = False,
    least: int = 1,
    common: Common = COMMON,
    pictures: Pictures = PICTURES,
) -> int:
    """List stored samples with their outcomes, newest last.

    Parameters
    ----------
    case
        Only this case.
    limit
        At most so many.
    tree
        All runs of the case as a tree: where they part, and how each branch fares.
    group
        What failed, of this case or of all cases and reports, in groups by what was observed: which check and why, how
        the answer ended, where it leaves the paths of passing runs; the largest first.
    least
        With --tree: leave out branches with fewer runs.
    """
    from reroll import commands_files

    return commands_files.samples(case, limit, tree, group, least, common, pictures)


def show(sample: str, /, *, request: bool = False, common: Common = COMMON, pictures: Pictures = PICTURES) -> int:
    """Show one stored sample whole: its request, completion, outcomes and tokens.

    Parameters
    ----------
    sample
        Its id, or the beginning of it.
    request
        Print only the body of its request, byte for byte as it was sent.
    """
    from reroll import commands_files

    return (
        commands_files.show_request(sample, common, pictures)
        if request
        else commands_files.show(sample, common, pictures)
    )


def replay(sample: str, /, *, common: Common = COMMON) -> int:
    """Send the very request of a stored sample once more, and show what comes back.

    Parameters
    ----------
    sample
        Its id, or the beginning of it.
    """
    from reroll import commands_files

    return commands_files.replay(sample, common)
