"""The command line about files of completions: words into calls, registered by `reroll.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reroll.arguments import Common, ExportFormat

__all__ = ["export", "import_"]

COMMON = Common()


def export(
    case: str | None = None,
    /,
    *,
    out: Path | None = None,
    parquet: Path | None = None,
    form: Annotated[ExportFormat, Parameter(name="--format")] = "recorded",
    common: Common = COMMON,
) -> int:
    """Write stored samples as recorded completions or as training data, one JSON object a line.

    Parameters
    ----------
    case
        Only this case.
    out
        The file to write; default: stdout.
    parquet
        Write a Parquet file instead, with the same columns.
    form
        recorded completions, which `import` reads; rft: prompts and graded answers, for reinforcement fine-tuning;
        preference: of one prompt a passing and a failing answer.
    """
    from reroll import commands_files

    return commands_files.export(case, out, parquet, form, common)


def import_(
    file: Path,
    /,
    *more: Path,
    check: str | None = None,
    into: Path | None = None,
    turn: int | None = None,
    controls: int = 0,
    common: Common = COMMON,
) -> int:
    """Read recorded calls in any common format, judge them, and estimate how often each case fails.

    Parameters
    ----------
    file
        Recorded completions of reroll's own (JSONL), or traffic: request and response, curl, OpenTelemetry, ...
    more
        Further files.
    check
        What a right answer is, such as 'equals: "{expected}"'; conversations use their reward.
    into
        Also write a project folder there; of reroll's own recordings, one whose model is the recording.
    turn
        Which message of the user in a conversation is the case, from 1, or from the end as -1 (default: the last).
    controls
        Also add so many of these requests, drawn at random, to the project's cases.yaml as control cases, which a fix
        must not break; they get the check of --check.
    """
    from reroll import commands_import

    return commands_import.import_((file, *more), check, into, turn, controls, common)
