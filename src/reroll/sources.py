"""One state of a user's Python told from another: a module's file, and those of the project that it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["sources_of"]

MOST = 500  # files; a product that is larger is known by these


def sources_of(path: Path, project: Path) -> list[bytes]:
    """What stands in this file, and in every module of the project that it imports, directly or not, in a fixed order.

    Found by reading, not by running: an import that only a string names is not seen, nor is what is no Python.
    """
    first, root = path.resolve(), project.resolve()
    waiting, found = [first], dict[Path, bytes]()
    while waiting and len(found) < MOST:
        one = waiting.pop()
        if one in found:
            continue
        try:
            found[one] = one.read_bytes()
        except OSError:
            continue
        waiting += _imported(found[one], one, root)
    return [found.pop(first, b""), *(found[one] for one in sorted(found))]


def _imported(text: bytes, path: Path, root: Path) -> Iterator[Path]:
    """The files of the project that this one imports by name."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = root if not node.level else path.parents[min(node.level, len(path.parents)) - 1]
            parts = (node.module or "").split(".") if node.module else []
            if start == root or start.is_relative_to(root):
                for alias in node.names:
                    yield from _files_of(start, [*parts, alias.name])


def _files_of(start: Path, parts: list[str]) -> Iterator[Path]:
    """The files that importing this dotted name runs: those of the packages on the way, and the module's."""
    here = start
    if (package := here / "__init__.py").is_file():
        yield package
    for part in parts:
        here = here / part
        for file in (here / "__init__.py", here.with_suffix(".py")):
            if file.is_file():
                yield file.resolve()
