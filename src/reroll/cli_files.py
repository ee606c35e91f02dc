"""The command line about files of completions: words into calls, registered by `reroll.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reroll.arguments import Common, ExportFormat

__all__ = ["export", "import_"]

COMMON = Common()
# A hyphen is stdout; what else begins with one is an option in the place of a file, and turned away.
FileOrStdout = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]


def export(
    case: str | None = None,
    /,
    *,
    out: Path | None = None,
    parquet: Path | None = None,
    csv: FileOrStdout = None,
    evaluations: FileOrStdout = None,
    to: str | None = None,
    form: Annotated[ExportFormat, Parameter(name="--format")] = "recorded",
    common: Common = COMMON,
) -> int:
    """Write stored samples as recorded completions, training data, a table, or OpenTelemetry's evaluation events.

    Parameters
    ----------
    case
        Only this case.
    out
        The file to write, one JSON object a line; default: stdout.
    parquet
        Write a Parquet file instead, with the same columns.
    csv
        Write a table for spreadsheets instead, a row a sample with its outcome; - is stdout.
    evaluations
        Write what the checks said instead, as evaluation events in OpenTelemetry's JSON; - is stdout.
    to
        Send those events to this collector over OTLP/HTTP, such as http://127.0.0.1:4318.
    form
        recorded completions, which `import` reads; rft: prompts and graded answers, for reinforcement fine-tuning;
        preference: of one prompt a passing and a failing answer; openai-preference: the same as OpenAI takes it.
    """
    from reroll import commands_export

    told = commands_export.Export(out, parquet, csv, evaluations, to, form)
    return commands_export.export(case, told, common)


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
