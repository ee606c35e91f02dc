"""New cases at the end of a project's cases.yaml, all that stands there left as it is; or in a file of their own."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, SequenceNode

from reroll.case import Case
from reroll.errors import FileError, UsageError
from reroll.project import CaseFile
from reroll.strict_yaml import parse_document, read_text, write_yaml

__all__ = ["append_cases", "can_take_more", "case_form", "write_cases"]

BOM = b"\xef\xbb\xbf"


def case_form(case: Case) -> dict[str, Any]:
    """The case as a file writes it, without what goes without saying.

    >>> case_form(Case(id="a", set="neighbour", of="b", input={"n": 1}, checks=[{"contains": "x"}]))
    {'id': 'a', 'set': 'neighbour', 'of': 'b', 'input': {'n': 1}, 'checks': [{'contains': 'x'}]}
    """
    plain = case.model_dump(mode="json")
    usual: dict[str, Any] = {"set": "case", "of": None, "history": [], "expected": None, "checks": []}
    keys = ("id", "set", "of", "input", "history", "expected", "checks")
    return {key: plain[key] for key in keys if key not in usual or plain[key] != usual[key]}


def append_cases(path: Path, cases: Sequence[Case], notes: Sequence[str]) -> None:
    """Write these cases behind those of the file, each under its note as a comment; nothing else in it changes.

    The new text is read again before it takes the old one's place, in one step.

    Raises: FileError where the file is no longer what it was, or is written so that nothing can be added safely.
    """
    home = path.resolve()
    try:
        raw = home.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    text = raw.removeprefix(BOM).decode("utf-8")
    indent = _indent(text, path)
    before = parse_document(text, path).value
    newline = "\r\n" if "\r\n" in text else "\n"
    ended = text if text.endswith("\n") else text + newline
    for write, gap in ((_as_block, newline), (_as_block, ""), (_as_line, newline), (_as_line, "")):
        added = textwrap.indent(_items(cases, notes, write), indent).replace("\n", newline)
        new = ended + gap + added
        if _holds(new, path, before, [case_form(case) for case in cases]):
            break
    else:
        raise FileError(
            path, "nothing can be added at its end without a change elsewhere; write them into a file with --out"
        )
    _replace(home, (BOM if raw.startswith(BOM) else b"") + new.encode("utf-8"), path)


def can_take_more(path: Path) -> None:
    """Raises: FileError where no case could be added to this file: asked before anything is paid for."""
    _indent(read_text(path), path)
    if not os.access(path.resolve().parent, os.W_OK):
        raise FileError(path, "its folder cannot be written; use --out", slug="out")


def write_cases(path: Path, cases: Sequence[Case], notes: Sequence[str]) -> None:
    """Write these cases into a new file. Raises: UsageError where one is there already, or it cannot be written."""
    text = "cases:\n" + textwrap.indent(_items(cases, notes, _as_block), "  ")
    if not _holds(text, path, {"cases": []}, [case_form(case) for case in cases]):
        text = "cases:\n" + textwrap.indent(_items(cases, notes, _as_line), "  ")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already and was left as it is; choose another --out", slug="out") from None
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be written: {problem}; choose another --out", slug="out") from None


def _items(cases: Sequence[Case], notes: Sequence[str], write: Callable[[Case], str]) -> str:
    comments = [f"# {' '.join(note.split())}\n" if note else "" for note in notes]
    return "".join(f"\n{comment}{write(case)}" for comment, case in zip(comments, cases, strict=True)).lstrip("\n")


def _as_block(case: Case) -> str:
    return write_yaml([case_form(case)])


def _as_line(case: Case) -> str:
    """As JSON, which is YAML too: for texts that no indentation may touch."""
    return f"- {json.dumps(case_form(case))}\n"


def _indent(text: str, path: Path) -> str:
    """What stands before the dash of each case. Raises: FileError where they are not written as a list of lines."""
    root = parse_document(text, path).root
    pairs = root.value if isinstance(root, MappingNode) else []
    node = next((value for key, value in pairs if key.value == "cases"), None)
    if not isinstance(node, SequenceNode) or node.flow_style or not node.value:
        raise FileError(
            path, "its cases are not written as a list with a dash before each, so none can be added; use --out"
        )
    mark = node.value[-1].start_mark
    line: str = text.splitlines()[mark.line]
    before, dash, _ = line[: mark.column].rpartition("-")
    if not dash or before.strip():
        raise FileError(path, "its last case does not follow a dash in its line, so none can be added; use --out")
    return before


def _holds(text: str, path: Path, before: Any, new: Sequence[dict[str, Any]]) -> bool:
    """Whether the text says all that was there before, and then these cases; and says it as a project may."""
    try:
        value = parse_document(text, path).value
        CaseFile.model_validate(value)
    except ValueError:
        return False
    return bool(value == {**before, "cases": [*before["cases"], *new]})


def _replace(path: Path, content: bytes, shown: Path) -> None:
    """The file's content, changed in one step: whoever reads it meanwhile sees the old or the new one."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        problem = (error.strerror or str(error)).lower()
        raise FileError(shown, f"cannot be written: {problem}; use --out", slug="out") from None
