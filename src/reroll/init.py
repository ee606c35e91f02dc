"""A new project folder: the bundled example `meetings`, ready to run and to change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reroll.errors import UsageError

__all__ = ["EXAMPLE", "init_project", "write_new"]

EXAMPLE = Path(__file__).parent / "bundled" / "meetings"


def init_project(folder: str | Path) -> list[Path]:
    """The files of a new project, copied into this folder, which is made where it does not exist.

    Raises: UsageError, with nothing written, where a file would be overwritten or cannot be made.
    """
    files = sorted(p for p in EXAMPLE.rglob("*") if p.suffix in (".yaml", ".md", ".py"))
    return write_new(folder, {str(p.relative_to(EXAMPLE)): p.read_text(encoding="utf-8") for p in files})


def write_new(folder: str | Path, files: Mapping[str, str]) -> list[Path]:
    """Writes these texts under their names into a folder where none of them is yet. Raises: UsageError."""
    folder = Path(folder)
    for name in files:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise UsageError(
                f"{folder / name} exists already and was left as it is, nothing was written; choose another folder",
                slug="init-exists",
            )
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot make a project in {folder}: {reason}", slug="init-cannot") from None
    return [folder / name for name in files]
