"""The JSON members of a zip file, one at a time, within limits; members may be compressed with zstd."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from reroll.errors import FileError
from reroll.intake.taken import Skipped, Value
from reroll.intake.unpacked import MOST_VALUE, beginning
from reroll.json_text import json_value

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:
    from backports import zstd
    from backports.zstd import zipfile

__all__ = ["is_zip", "members_of"]

DAMAGED: tuple[Any, ...] = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, zstd.ZstdError)
# What a log's members are called: the header first, since it says what holds for all samples.
HEADERS = ("header.json", "_journal/start.json")
MOST_MEMBERS = 2_000_000


def is_zip(source: IO[bytes]) -> bool:
    """Whether the file begins as a zip file does; it is not moved on."""
    return beginning(source) == b"PK\x03\x04"


def members_of(path: Path, source: IO[bytes]) -> Iterator[Value | Skipped]:
    """The header and then the samples of a log. Raises: FileError for a zip file that is none or is damaged."""
    try:
        archive = zipfile.ZipFile(source)
    except (*DAMAGED, OSError, ValueError):
        raise FileError(path, "the zip file breaks off or is damaged; copy it again", slug="import-file") from None
    with archive:
        names = archive.namelist()[:MOST_MEMBERS]
        known = set(names)
        header = next((name for name in HEADERS if name in known), None)
        samples = [name for name in names if name.startswith("samples/") and name.endswith(".json")]
        if header is None and not samples:
            raise FileError(path, "is a zip file, and no log of Inspect's", slug="import-format")
        for name in ([header] if header else []) + samples:
            yield _member(path, archive, name)


def _member(path: Path, archive: Any, name: str) -> Value | Skipped:
    where = f"{path}, {name}"
    try:
        with archive.open(name) as member:
            data = member.read(MOST_VALUE + 1)
    except (*DAMAGED, OSError, ValueError):
        return Skipped("", where, "is damaged or packed in a way that is not read here")
    if len(data) > MOST_VALUE:
        return Skipped("", where, f"unpacks to more than {MOST_VALUE // 2**20} MiB, the most that a record may take")
    try:
        return Value(where, json_value(data.decode("utf-8-sig")))
    except ValueError:
        return Skipped("", where, "is no JSON")
