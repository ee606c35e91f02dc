"""The commands that ask where failures come from, and how far a check is to be believed, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reroll.arguments import Common, Pictures, Spending

__all__ = ["audit", "cause", "check"]

COMMON, SPENDING, PICTURES = Common(), Spending(), Pictures()


def audit(
    case: str,
    /,
    *,
    arms: str = "PJZCLSRV",
    burst: int | None = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say where the variation of a case's outcome comes from: chance, the check, the server, or the model.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    arms
        Which circumstances are tried, by their letters: P as reported, J judged again, Z temperature 0, C cold cache,
        L in a burst, S one seed, R each replica, V other models and parameters that the program lists.
    burst
        How many calls at the same time a burst is (default: as many as suit the model, at most 16).
    """
    from reroll import commands_audit
    from reroll.arms import Asked

    return commands_audit.audit(case, Asked(arms, burst), common, spending, pictures)


def cause(
    case: str,
    /,
    *,
    suspect: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = (),
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Find which part of a case's request carries its failures, or that none does.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    suspect
        A part that somebody suspects, such as system.format: it is looked at first, and must be shown all the same.
        May be repeated.
    """
    from reroll import commands_cause

    return commands_cause.cause(case, suspect, common, spending, pictures)


def check(
    name: str | None = None,
    /,
    *,
    labels: Path | None = None,
    label: int = 0,
    again: int | None = None,
    by: str | None = None,
    person: str | None = None,
    alpha: float | None = None,
    common: Common = COMMON,
) -> int:
    """Measure a check against people's labels, and how often answers really fail.

    Parameters
    ----------
    name
        The check's name in cases.yaml; default: all checks of each case together.
    labels
        A file of labels (default: labels.jsonl in the project).
    label
        Ask for so many more labels, half of them on runs that the check flags, and keep them in that file.
    again
        Judge so many runs again, to see whether the check says the same (default 20; judges, whose calls are paid
        for, are asked again only where a number is given).
    by
        Who gives the labels (default: your user name).
    person
        A command that answers for the person: a sample as JSON on its stdin, pass, fail or unsure on its stdout.
    alpha
        Chance that a range misses the true value (default 0.05).
    """
    from reroll import commands_check

    return commands_check.check(name, labels, label, again, by, person, alpha, common)
