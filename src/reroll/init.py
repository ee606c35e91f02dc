"""A new project folder: the bundled example `meetings`, ready to run and to change."""

from __future__ import annotations

import shutil
from pathlib import Path

from reroll.errors import UsageError

__all__ = ["EXAMPLE", "init_project"]

EXAMPLE = Path(__file__).parent / "bundled" / "meetings"


def init_project(folder: str | Path) -> list[Path]:
    """The files of a new project, copied into this folder, which is made where it does not exist.

    Raises: UsageError, with nothing written, where a file would be overwritten or cannot be made.
    """
    folder = Path(folder)
    sources = sorted(p for p in EXAMPLE.rglob("*") if p.suffix in (".yaml", ".md", ".py"))
    targets = [folder / p.relative_to(EXAMPLE) for p in sources]
    for target in targets:
        if target.exists() or target.is_symlink():
            raise UsageError(
                f"{target} exists already and was left as it is, nothing was written; choose another folder",
                slug="init-exists",
            )
    try:
        for source, target in zip(sources, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot make a project in {folder}: {reason}", slug="init-cannot") from None
    return targets
