"""The command line about fixes: words into calls of the functions beneath, registered by `reroll.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reroll.arguments import Common, Pictures, Spending

__all__ = ["apply", "ideas", "ledger", "neighbours", "try_fixes"]

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


def try_fixes(
    fixes: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    /,
    *,
    case: str,
    suggest: Annotated[int | bool, Parameter(negative="")] = False,
    write: int = 0,
    with_: Annotated[str | None, Parameter(name="--with")] = None,
    gepa: bool = False,
    margin: float | None = None,
    lookalike_margin: float | None = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Try fixes on a case, its neighbours, its look-alikes and the control cases: what each cures, and what it breaks.

    Exits 0 when the best one is accepted, 1 when all are rejected, 3 when more runs are needed.

    Parameters
    ----------
    fixes
        Names of fixes in the project's folder `fixes`, files, or PART=VALUE such as system.role=TEXT.
    case
        The id of the case that the fixes are for.
    suggest
        Also try so many fixes that reroll suggests by itself from what is stored of the case (without a number: 5).
    write
        Also ask the program's own model for so many changes; what cannot be used is dropped and said.
    with_
        For --write and --gepa: the model that writes, such as openai:NAME, or openai:NAME@http://localhost:8000/v1 for
        one at another address.
    gepa
        Also let GEPA evolve wordings (extra reroll[gepa]), for 30 % of the budget at most.
    margin
        A rise of the control cases' failure rate by so much is harm (default 0.02); a smaller one takes more calls.
    lookalike_margin
        The same for look-alikes (default 0.1).
    """
    from reroll import commands_try

    more = commands_try.Wanted(commands_try.USUAL if suggest is True else int(suggest), write, with_, gepa)
    what = commands_try.TryWhat(tuple(fixes), case, margin, lookalike_margin, more)
    return commands_try.try_them(what, common, spending, pictures)


def apply(*fixes: str, dry_run: bool = False, anyway: bool = False, common: Common = COMMON) -> int:
    """Write an accepted fix into program.yaml, keeping its comments, and print what changed.

    Parameters
    ----------
    fixes
        Names of fixes in the project's folder `fixes`, files, or PART=VALUE such as system.role=TEXT. Several are
        applied in the order in which they are named.
    dry_run
        Only show what would change: nothing is written.
    anyway
        Apply it also where no trial of it ended with `accept`.
    """
    from reroll import commands_fixes

    return commands_fixes.apply(fixes, dry_run, anyway, common)


def ideas(
    *words: str,
    case: str | None = None,
    by: str | None = None,
    fix: Path | None = None,
    with_: Annotated[str | None, Parameter(name="--with")] = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """List ideas for cases with what came of them; add one, write it as a fix, confirm that it is what was meant.

    Parameters
    ----------
    words
        Nothing, or a case: list. `add` and an idea: append it to ideas.yaml. `write` and a number: make a fix of it.
        `confirm` and a number: its author says that this fix is what was meant.
    case
        The case that an idea is for.
    by
        Whose idea it is, or who confirms it (default: your user name).
    fix
        To write an idea: the file of the fix that says the same.
    with_
        To write an idea: the model that does, such as openai:NAME, or openai:NAME@URL for one at another address
        (default: the program's own).
    """
    from reroll import commands_ideas

    told = commands_ideas.Told(case, by, fix, with_)
    return commands_ideas.ideas(words, told, common, spending, pictures)


def ledger(*, common: Common = COMMON, pictures: Pictures = PICTURES) -> int:
    """Say which fixes were tried and applied, what each still earns, and what they cost together."""
    from reroll import commands_ledger

    return commands_ledger.ledger(common, pictures)
