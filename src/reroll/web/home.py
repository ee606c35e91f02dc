"""What all pages work with: the project's folder, its store, the jobs that run, and a secret of this place."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reroll.errors import RerollError, UsageError
from reroll.project import REPORTED, Project, load_project
from reroll.store import Store

__all__ = ["Home", "secret_of"]

KEPT_IN = "serve.json"
WATCHED = ("*.y*ml", "*.json", "*.jsonl", "fixes/*.yaml")  # whatever a project may be read from


@dataclass(slots=True)
class Home:
    """One project and its store, as one server shows them. Safe to use from several threads."""

    folder: Path
    store: Store
    store_url: str | None = None
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    max_usd: float | None = None  # the most that one job may cost
    budget: int | None = None  # the most calls that one job may make; None: as the command says
    _known: tuple[tuple[Any, ...], Project] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def project(self) -> Project:
        """The project as its files say now. Raises: FileError where they say nothing that can be read."""
        stamp = self._stamp()
        with self._lock:
            if self._known is None or self._known[0] != stamp:
                self._known = (stamp, load_project(self.folder))
            return self._known[1]

    def broken(self) -> str | None:
        """Why the project's files cannot be read now; None if they can."""
        try:
            self.project()
        except RerollError as error:
            return str(error)
        return None

    def _stamp(self) -> tuple[Any, ...]:
        paths = [self.folder / REPORTED, *(path for name in WATCHED for path in sorted(self.folder.glob(name)))]
        return tuple((p.name, s.st_mtime_ns, s.st_size) for p in paths if (s := _stat(p)) is not None)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def secret_of(folder: Path) -> bytes:
    """The secret that signs this project's links and cookies; made on first use, readable by its owner alone.

    Raises: UsageError where it can be neither read nor made.
    """
    path = folder / ".reroll" / KEPT_IN
    try:
        if path.exists():
            return _read(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = secrets.token_hex(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(json.dumps({"secret": made}) + "\n")
        return bytes.fromhex(made)
    except FileExistsError:  # another process was quicker
        return _read(path)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(
            f"{path} cannot be read or written: {problem}; give this user access to it", slug="out"
        ) from None


def _read(path: Path) -> bytes:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        secret = bytes.fromhex(kept["secret"]) if isinstance(kept, Mapping) else b""
    except (ValueError, KeyError, TypeError):
        secret = b""
    if len(secret) < 32:
        raise UsageError(f"{path} is not what `reroll serve` wrote there; remove it, a new one is made", slug="file")
    return secret
