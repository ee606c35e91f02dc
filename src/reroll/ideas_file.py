"""The file `ideas.yaml`: read strictly, and written to without touching what else stands in it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, SequenceNode

from reroll.complaints import complain
from reroll.errors import FileError
from reroll.fix import Fix
from reroll.ideas import Idea, IdeaFile
from reroll.match import listed, nearest
from reroll.project import Project, load_fix
from reroll.strict_yaml import Document, parse_document, read_document, read_text, write_yaml

__all__ = ["add_idea", "change_idea", "ideas_path", "keep_fix", "read_ideas"]

JSON = Any
HEAD = "# Ideas for making cases fail less often: `reroll ideas add` appends, `reroll ideas` lists them.\nideas:\n"


def ideas_path(project: Project) -> Path:
    return project.path / "ideas.yaml"


def read_ideas(project: Project) -> tuple[Idea, ...]:
    """The ideas of a project; none where there is no file. Raises: FileError for the first thing that is wrong."""
    path = ideas_path(project)
    other = path.with_suffix(".yml")
    if not path.is_file():
        if other.is_file():
            raise FileError(other, "rename this file to ideas.yaml")
        return ()
    document = read_document(path)
    ideas = _ideas(document)
    cases, fixes = [case.id for case in project.cases], [fix.fix for fix in project.fixes]
    for k, idea in enumerate(ideas):
        for key, name, known in (("case", idea.case, cases), ("fix", idea.fix, fixes)):
            if name is not None and name not in known:
                hint = nearest(name, known) or f"; there are {listed(known)}"
                raise document.error(f"there is no {key} {name}{hint}", ("ideas", k, key))
        if idea.confirmed and idea.fix is None:
            raise document.error("nothing is written yet that could be confirmed", ("ideas", k, "confirmed"))
    return ideas


def _ideas(document: Document) -> tuple[Idea, ...]:
    value = document.value
    if value is None or value == {"ideas": None}:
        return ()
    if not isinstance(value, dict):
        raise document.error("the file holds no keys; it needs `ideas:` with a list")
    try:
        return IdeaFile.model_validate(value).ideas
    except ValidationError as error:
        raise complain(error, document, IdeaFile) from None


# -- writing -----------------------------------------------------------------------------------------------------------


def add_idea(project: Project, idea: Idea) -> int:
    """Append an idea; its number. What stands in the file stays, comments too.

    Raises: FileError where the file is wrong, or is written in a way that nothing can be appended to.
    """
    path = ideas_path(project)
    before = read_ideas(project)
    text = read_text(path) if path.is_file() else ""
    item = idea.model_dump()
    if not path.is_file() or not text.strip():
        changed = HEAD + _block(item, 2)
    else:
        changed = _appended(text, parse_document(text, path), item)
    _replace(path, changed, (*before, idea))
    return len(before) + 1


def change_idea(project: Project, number: int, changes: Mapping[str, JSON]) -> None:
    """Set these keys of an idea (numbers count from 1), and nothing else. Raises: FileError as `add_idea`."""
    path = ideas_path(project)
    before = read_ideas(project)
    text = read_text(path)
    document = parse_document(text, path)
    _, item, _ = document.walk(("ideas", number - 1))
    if not isinstance(item, MappingNode):
        raise document.error("this idea cannot be changed here; change the file by hand", ("ideas", number - 1))
    edits: list[tuple[int, int, str]] = []
    for key, value in changes.items():
        edits.append(_edit(text, item, key, value))
    for start, end, said in sorted(edits, key=lambda one: (-one[0], -one[1])):
        text = text[:start] + said + text[end:]
    after = tuple(idea.model_copy(update=dict(changes)) if k == number else idea for k, idea in enumerate(before, 1))
    _replace(path, text, after)


def keep_fix(project: Project, fix: Fix, comment: str = "") -> Path:
    """Write a fix into the project's `fixes`, in a file of its own name; one that is there and says the same stays.

    Raises: FileError where another fix has this name or this file.
    """
    folder = project.path / "fixes"
    there = next((one for one in project.fixes if one.fix == fix.fix), None)
    path = folder / f"{fix.fix}.yaml"
    if there is not None:
        if there.id == fix.id:
            return path
        raise FileError(path, f"there is another fix called {fix.fix}; give this one another name", key="fix")
    if path.exists():
        raise FileError(path, f"this file is there already and holds another fix; rename `{fix.fix}`")
    said = {key: value for key, value in fix.model_dump().items() if value not in (None, "")}
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, (f"# {comment}\n" if comment else "") + write_yaml(said))
    if load_fix(path).id != fix.id:
        path.unlink()
        raise FileError(path, "this fix cannot be written as YAML and read again; write it by hand")
    return path


def _block(item: Mapping[str, JSON], indent: int) -> str:
    """An item of a list, a key a line."""
    lines = write_yaml(dict(item)).splitlines()
    return "".join(f"{' ' * indent}{'- ' if k == 0 else '  '}{line}\n" for k, line in enumerate(lines))


def _scalar(value: JSON) -> str:
    return write_yaml({"x": value}).removeprefix("x:").strip()


def _appended(text: str, document: Document, item: Mapping[str, JSON]) -> str:
    _, node, _ = document.walk(("ideas",))
    if node is None or isinstance(node, MappingNode):  # comments only, or braces with nothing between
        return text.rstrip("\n") + "\nideas:\n" + _block(item, 2)
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        last = _end(node.value[-1])
        at = text.find("\n", last)
        at = len(text) if at < 0 else at + 1
        gap = "" if text[:at].endswith("\n") else "\n"
        return text[:at] + gap + _block(item, node.start_mark.column) + text[at:]
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, SequenceNode) and node.value:
        inner = ", ".join(f"{key}: {_flow(value)}" for key, value in item.items())
        return f"{text[: end - 1].rstrip().removesuffix(',')}, {{{inner}}}{text[end - 1 :]}"
    # `ideas:` with nothing, null or [] after it
    return f"{text[:start].rstrip(' ')}\n{_block(item, 2)}{text[end:].removeprefix(chr(10))}"


def _flow(value: JSON) -> str:
    """A value as it may stand between braces: text in quotes."""
    if isinstance(value, str):
        return "'" + " ".join(value.split()).replace("'", "''") + "'"
    return _scalar(value)


def _end(node: Node) -> int:
    """Where the last thing of a node is written: a block's own mark lies behind the comments that follow it."""
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _edit(text: str, item: MappingNode, key: str, value: JSON) -> tuple[int, int, str]:
    """What to put where, so that this key has this value."""
    said = _flow(value) if item.flow_style else _scalar(value)
    for name, node in item.value:
        if name.value == key:
            start, end = node.start_mark.index, node.end_mark.index
            gap = " " if start == end and not text[start - 1 : start].isspace() else ""
            return start, end, gap + said
    if item.flow_style:
        at = item.end_mark.index - 1
        return at, at, f", {key}: {said}"
    at = _end(item)
    line = text.find("\n", at)
    at = len(text) if line < 0 else line
    return at, at, f"\n{' ' * item.value[0][0].start_mark.column}{key}: {said}"


def _replace(path: Path, text: str, wanted: tuple[Idea, ...]) -> None:
    """Write the text, if it says what it should. Raises: FileError where it does not; the file is then as it was."""
    try:
        said = _ideas(parse_document(text, path))
    except FileError:
        said = ()
    if said != wanted:
        raise FileError(path, "this file is written in a way that cannot be added to here; write the idea by hand")
    _write(path, text)


def _write(path: Path, text: str) -> None:
    """The whole file or nothing of it."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise FileError(path, f"cannot be written: {(error.strerror or str(error)).lower()}") from None
