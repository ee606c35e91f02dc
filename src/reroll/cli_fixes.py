"""The command line about fixes: words into calls of the functions beneath, registered by `reroll.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reroll.arguments import Common, Pictures, Spending

__all__ = ["apply", "neighbours"]

COMMON, SPENDING, PICTURES = Common(), Spending(), Pictures()


def neighbours(
    case: str,
    /,
    *,
    kinds: Annotated[tuple[str, ...], Parameter(name="--kinds", negative="", consume_multiple=True)] = (),
    count: int = 12,
    write: int = 0,
    runs: int = 4,
    out: Path | None = None,
    dry_run: bool = False,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Make neighbours and look-alikes of a case that a fix can be tried on, and add those that work to cases.yaml.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    kinds
        Which kinds, separated by commas: paraphrase, entity, number, time, date, locale, order, length, format,
        register, two, lookalike (default: all).
    count
        How many are tried, taken from each kind in turn.
    write
        Ask the case's own model for so many more wordings; what cannot be used is dropped and counted.
    runs
        Runs of each at most: a neighbour is kept at its first pass, a look-alike when most pass.
    out
        Write them into this new file instead of adding them to cases.yaml.
    dry_run
        Only show what would be tried: no call, nothing written.
    """
    from reroll import commands_neighbours

    wanted = commands_neighbours.Wanted(kinds, count, write, runs, out, dry_run)
    return commands_neighbours.make_neighbours(case, wanted, common, spending, pictures)


def apply(*fixes: str, dry_run: bool = False, anyway: bool = False, common: Common = COMMON) -> int:
    """Write an accepted fix into program.yaml, keeping its comments, and print what changed.

    Parameters
    ----------
    fixes
        The fix's name in fixes/, or its file. Several are applied in the order in which they are named.
    dry_run
        Only show what would change: nothing is written.
    anyway
        Apply it also where no trial of it ended with `accept`.
    """
    from reroll import commands_fixes

    return commands_fixes.apply(fixes, dry_run, anyway, common)
