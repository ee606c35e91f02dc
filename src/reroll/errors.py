"""Everything that can go wrong, as one tree, each with the exit code that a command ends with.

RerollError
    UsageError       you asked for something that cannot be done; nothing was sent
        FileError    a file you wrote says something wrong, at this line, under this key
    ModelError       the model cannot be reached, is unknown, or refuses this kind of request
    StoreError       the database is missing, locked, full, or of another schema version
    NotCompleted     a run stopped before its question was answered; what was paid for is stored

A single failed call is never an exception: it is a `Sample` with an error (sample.py).
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["FileError", "ModelError", "NotCompleted", "RerollError", "StoreError", "UsageError", "sayable"]


# What steers a terminal or cannot be written: control characters, line ends, marks of direction, halves of characters.
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

BEGINNING, END = 1600, 400  # of a longer sentence; what it quotes has no bound, and what to do stands at its end


class RerollError(Exception):
    """Base of all; the message is one sentence: what is wrong, where, what to do.

    `slug` names the entry in docs/messages.md, `exit_code` what the command line returns. A sentence quotes files,
    servers and models, so what would steer a terminal stands in it as Python writes it, `\\x1b`, and it has an end.
    """

    slug = "unexpected"
    exit_code = 2

    def __init__(self, message: str, *, slug: str | None = None) -> None:
        super().__init__(sayable(message))
        if slug is not None:
            self.slug = slug


def sayable(message: str) -> str:
    """The message with an end, and with what would steer a terminal written as Python writes it."""
    if len(message) > BEGINNING + END:
        message = f"{message[:BEGINNING]} … {message[-END:]}"
    return STEERING.sub(_written, message)


def _written(found: re.Match[str]) -> str:
    return " " if found[0] in "\n\t" else repr(found[0])[1:-1]


class UsageError(RerollError, ValueError):
    slug = "usage"


class FileError(UsageError):
    """A user's file is wrong: says the file, the line (1-based) and the key where known."""

    slug = "file"

    def __init__(
        self,
        path: str | Path,
        problem: str,
        *,
        line: int | None = None,
        key: str | None = None,
        slug: str | None = None,
    ) -> None:
        where = str(path) if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {f'`{key}`: ' if key else ''}{problem}", slug=slug)
        self.path, self.line, self.key = Path(path), line, key


class ModelError(RerollError):
    slug = "model"


class StoreError(RerollError):
    slug = "store"


class NotCompleted(RerollError):
    slug = "not-completed"
    exit_code = 4
