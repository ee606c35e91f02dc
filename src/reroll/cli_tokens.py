"""The commands that look at tokens and wordings, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reroll.arguments import Common, Pictures, Spending

__all__ = ["forks", "futures", "phrase", "surprise"]

COMMON, SPENDING, PICTURES = Common(), Spending(), Pictures()


def futures(
    case: str,
    /,
    *,
    width: float = 0.01,
    down_to: float = 1.0,
    draws: int = 40,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """List what a call can say with exact probabilities, and so how often it fails.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    width
        How narrow the range of the failure rate is to be.
    down_to
        Also follow everything that is at least this likely, such as 1e-6; 1 follows only what the rate needs.
    draws
        Hold so many plain runs against the probabilities that were read.
    """
    from reroll import commands_tokens

    return commands_tokens.futures(case, width, down_to, draws, common, spending, pictures)


def surprise(
    what: str,
    /,
    *,
    saw: Path | None = None,
    draws: int = 60,
    per_day: float | None = None,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say how likely a reported completion is under its request, and where it left the usual paths.

    Parameters
    ----------
    what
        A stored sample's id; with --saw a case's id.
    saw
        A file with the completion that the person saw.
    draws
        Fresh runs that it is held against; stored ones count.
    per_day
        How many calls of this kind there are a day: what is rare in one is seen daily in many.
    """
    from reroll import commands_tokens

    return commands_tokens.surprise(what, saw, draws, per_day, common, spending, pictures)


def forks(
    sample: str,
    /,
    *,
    by: Literal["tokens", "turns", "words"] | None = None,
    draws: int = 128,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Find the token that led a failing sample astray, or say that no single one did.

    Parameters
    ----------
    sample
        A stored failing sample's id, or its beginning; or a case: then one of its runs that failed as most did.
    by
        Look at tokens, at turns of a conversation, or at words over whole runs (default: the first that can be done).
    draws
        Runs that words are looked at over; stored ones count.
    """
    from reroll import commands_tokens

    return commands_tokens.forks(sample, by, draws, common, spending, pictures)


def phrase(
    case: str,
    /,
    *,
    wordings: Annotated[tuple[str, ...], Parameter(name="--wordings", negative="", consume_multiple=True)] = (),
    by_rule: int | None = None,
    write: int = 0,
    margin: float | None = None,
    tokens: Annotated[tuple[str, ...], Parameter(name="--tokens", negative="", consume_multiple=True)] = (),
    sample: str | None = None,
    at: int | None = None,
    width: float = 0.25,
    common: Common = COMMON,
    spending: Spending = SPENDING,
    pictures: Pictures = PICTURES,
) -> int:
    """Say whether the wording of a case's request moves how often it fails, or what it does at one token of the answer.

    Parameters
    ----------
    case
        The case's id in cases.yaml.
    wordings
        Wordings to be run beside the one as it is asked now and those made by rule. Each is another case's id, the
        other words themselves, PART=VALUE such as system.role=TEXT or input.request=TEXT, a folder with a program.yaml,
        or @FILE with a wording on each line.
    by_rule
        At most so many wordings made by rule: manners, fillers, contractions, full stops (default 7; 0: none).
    write
        Ask the case's own model for so many wordings; what cannot be used is dropped and counted.
    margin
        What still counts as no different, as a difference of failure rates; without it that is never said.
    tokens
        Look at one token of the answer instead: two wordings, or one to be held against the baseline; with more, a
        screen of them by the first one's runs. Each is `baseline`, another case's id, the other words themselves,
        PART=VALUE such as system.role=TEXT or input.request=TEXT, a folder with a program.yaml, or @FILE with a
        wording on each line.
    sample
        A stored sample whose answer is looked along (default: the commonest failing one).
    at
        Which token of that answer, counted from 1 (default: where most success is lost, as far as stored runs tell;
        of a passing answer, where the wordings differ most).
    width
        How narrow the ranges of the change and of its two parts are to be, as a share of runs.
    """
    from reroll import commands_phrase
    from reroll.phrasing import Asked

    worded = commands_phrase.Worded(wordings, by_rule, write, margin)
    return commands_phrase.phrase(case, tokens, Asked(sample, at, width), worded, common, spending, pictures)
