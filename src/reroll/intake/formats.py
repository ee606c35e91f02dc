"""Which format a file is in, told from what it holds and never from its name, and the calls that are in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from reroll.errors import FileError
from reroll.intake.batch import BATCH
from reroll.intake.curl import CURL
from reroll.intake.inspect_log import INSPECT
from reroll.intake.langfuse import LANGFUSE
from reroll.intake.otlp import OTLP
from reroll.intake.own import OWN
from reroll.intake.pairs import BARE, PAIRS
from reroll.intake.promptfoo import PROMPTFOO
from reroll.intake.taken import Evaluated, Format, Skipped, Taken, Value
from reroll.intake.tau import TAU
from reroll.intake.unpacked import opened, values_of
from reroll.intake.zipped import is_zip, members_of

__all__ = ["FORMATS", "format_of", "is_own", "read_files"]

# The first that a file looks like is what it is: the narrow ones before those that take many things.
FORMATS: tuple[Format, ...] = (OTLP, INSPECT, PROMPTFOO, TAU, LANGFUSE, BATCH, OWN, PAIRS, BARE)
LOOKED_AT = 50  # values from the beginning of a file
READ = (
    "request and response as JSON, a curl command, an OpenAI batch, an OpenTelemetry export (gen_ai, OpenInference, "
    "AI SDK, Langfuse), Langfuse's export, Inspect's .eval, promptfoo's output, tau-bench's trajectories, and "
    "reroll's own recorded completions"
)


def format_of(first: Sequence[Any]) -> Format | None:
    """The format that a file's first values look like."""
    return next((f for f in FORMATS if f.looks_like(first)), None)


def is_own(path: Path) -> bool:
    """Whether a file, or FILE#key=value, is a recording of reroll's own: so is one with a choice, and an empty one."""
    if "#" in path.name or not path.is_file():
        return True
    try:
        return _format(path)[0] is OWN
    except FileError:
        return False


def read_files(paths: Iterable[Path]) -> Iterator[Taken | Skipped | Evaluated]:
    """The calls of all files, as they are read; files of one format are read as one, those of evaluations first.

    Raises: FileError, at once, for a file that cannot be read or whose format is not known.
    """
    by_format: dict[str, tuple[Format, list[Path]]] = {}
    for path in paths:
        found, ahead = _format(path)
        files = by_format.setdefault(found.name, (found, []))[1]
        files.insert(0 if ahead else len(files), path)
    return _read(by_format.values())


def _read(by_format: Iterable[tuple[Format, list[Path]]]) -> Iterator[Taken | Skipped | Evaluated]:
    for format, files in by_format:
        skipped: list[Skipped] = []
        for one in format.read(_values(files, skipped)):
            while skipped:
                yield _named(skipped.pop(0), format)
            yield one
        yield from (_named(one, format) for one in skipped)


def _named(one: Skipped, format: Format) -> Skipped:
    return Skipped(format.name, one.where, one.why)


def _values(files: Iterable[Path], skipped: list[Skipped]) -> Iterator[Value]:
    """The values of the files; what is none goes into `skipped`."""
    for path in files:
        with opened(path) as source:
            for one in _inside(path, source):
                if isinstance(one, Skipped):
                    skipped.append(one)
                else:
                    yield one


def _inside(path: Path, source: IO[bytes]) -> Iterator[Value | Skipped]:
    return members_of(path, source) if is_zip(source) else values_of(path, source)


def _format(path: Path) -> tuple[Format, bool]:
    """The format of a file, and whether it is to be read before others. Raises: FileError."""
    try:
        with opened(path) as source:
            values = (v for v in _inside(path, source) if isinstance(v, Value))
            first = next(values, None)
            if first is not None and first.value is None and first.text is not None:
                return CURL, False
            looked_at = [v.value for v in chain([first] if first else [], islice(values, LOOKED_AT - 1))]
    except FileError as error:
        if error.slug == "import-format":
            raise _foreign(path) from None
        raise
    found = format_of(looked_at)
    if found is None:
        raise _foreign(path)
    return found, found.ahead(looked_at)


def _foreign(path: Path) -> FileError:
    return FileError(path, f"is in no format that is read here, which are: {READ}", slug="import-format")
