"""YAML without surprises: text stays what was written, nothing is said twice, and every value knows its line.

Booleans, null and numbers are those of YAML 1.2 (`true`, `null`, `30`, `1e-2`); `NO`, `12:30`,
`2026-11-27`, `007` and `1_000` stay text, and so does every key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from reroll.errors import FileError
from reroll.match import excerpt

__all__ = ["Document", "parse_document", "parse_yaml", "read_document", "read_text", "write_flow", "write_yaml"]

# What aliases may add, counted in values: a document of a few lines can otherwise fill the memory.
ALIAS_LIMIT = 10_000
TAG = "tag:yaml.org,2002:"
UNICODE_BREAK = re.compile("[\x85\u2028\u2029]")
NULL, BOOL, INT, FLOAT, STR = (TAG + word for word in ("null", "bool", "int", "float", "str"))

_Parser: Any
try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML built without libyaml: the same tree, slower
    from yaml import SafeLoader as _Parser


class _Resolver(Resolver):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's way


RULES: tuple[tuple[str, str, Sequence[str]], ...] = (
    (BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (NULL, r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    (INT, r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    # One leading zero only, as JSON has it: 007 and 00.5 are names, not numbers.
    (FLOAT, r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
)
for _tag, _pattern, _first in RULES:
    _Resolver.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


class _Loader(_Parser, _Resolver):  # type: ignore[misc]  # CParser has no types
    """Composes nodes only; values are made below, where lines are known."""

    def __init__(self, text: str) -> None:
        _Parser.__init__(self, text)
        _Resolver.__init__(self)


# The pure parser is a Resolver of YAML 1.1 itself, and must use ours.
_Loader.yaml_implicit_resolvers = _Resolver.yaml_implicit_resolvers


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value with the tree that it came from, to say where something is."""

    path: Path
    value: Any
    root: Node | None

    def walk(self, steps: Sequence[str | int]) -> tuple[tuple[str | int, ...], Node | None, int | None]:
        """As far as these steps lead into the file: the path that exists, its node and its line.

        Steps that do not exist are passed over: pydantic names the arms of a union in between.
        """
        node, done = self.root, []
        line = node.start_mark.line + 1 if node is not None else None
        for step in steps:
            if isinstance(node, MappingNode):
                pair = next((p for p in node.value if p[0].value == step), None)
                if pair is None:
                    continue
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                continue
            done.append(step)
        return tuple(done), node, line

    def plain(self, steps: Sequence[str | int]) -> str | None:
        """The scalar at these steps as it is written, where it is written without quotes."""
        node = self.walk(steps)[1]
        return str(node.value) if isinstance(node, ScalarNode) and not node.style else None

    def error(self, problem: str, steps: Sequence[str | int] = ()) -> FileError:
        """A FileError at the deepest of these steps that exists; list items are counted from 1."""
        path, _, line = self.walk(steps)
        key = ".".join(str(s + 1) if isinstance(s, int) else s for s in path)
        return FileError(self.path, problem, line=line, key=key or None)


def read_text(path: Path) -> str:
    """A file's text. Raises: FileError where it cannot be read or is not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(
            path, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8", line=line
        ) from None


def read_document(path: Path) -> Document:
    """A YAML file as values with lines. Raises: FileError with the line of the first problem."""
    return parse_document(read_text(path), path)


def parse_document(text: str, path: Path) -> Document:
    """A YAML text as values with lines; `path` stands in errors. Raises: FileError."""
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        value = None if root is None else _Maker(path).make(root, ())
    except yaml.MarkedYAMLError as error:
        raise _syntax(path, text, error) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise FileError(path, "a control character that YAML does not take; remove it", line=line) from None
    except RecursionError:
        raise FileError(path, "nested too deeply to be read") from None
    finally:
        if loader is not None:
            loader.dispose()
    return Document(path, value, root)


def parse_yaml(text: str, name: str | Path) -> Any:
    """The value of a YAML text, say of a command-line option; `name` stands in errors. Raises: FileError."""
    return parse_document(text, Path(name)).value


class _Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or 1.2 would not take for text, and writes lines as lines."""


for _tag, _pattern, _first in RULES:
    _Dumper.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def _represent_text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    if UNICODE_BREAK.search(text):
        return dumper.represent_scalar(STR, text, style='"')  # plain, a reader of YAML 1.1 would take them for \n
    return dumper.represent_scalar(STR, text, style="|" if "\n" in text.strip() else None)


_Dumper.add_representer(str, _represent_text)


def write_yaml(value: Any) -> str:
    """A JSON value as YAML text that `parse_yaml` reads back as the same value.

    >>> write_yaml({"version": "1.10", "country": "NO", "n": 3})
    "version: '1.10'\\ncountry: 'NO'\\nn: 3\\n"
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def write_flow(value: Any) -> str:
    """A JSON value as YAML on one line, as it can stand behind a key.

    >>> write_flow({"day": "Monday", "at": ["12:30", None]}), write_flow("no"), write_flow("a: b")
    ("{day: Monday, at: ['12:30', null]}", "'no'", "'a: b'")
    """
    text = str(
        yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=True)
    )
    return text.removesuffix("...\n").strip()


def _syntax(path: Path, text: str, error: yaml.MarkedYAMLError) -> FileError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else None
    lines = text.splitlines()
    problem = " ".join(filter(None, (error.problem, error.context)))
    here = lines[line - 1] if line is not None and line <= len(lines) else ""
    if re.match(r" *\t", here):
        return FileError(path, "a tab at the beginning of the line; YAML is indented with spaces", line=line)
    if "expected a single document" in problem or "another document" in problem:
        return FileError(path, "a second document begins here (---); one file holds one", line=line)
    if "undefined alias" in problem or "duplicate anchor" in problem:
        return FileError(path, problem, line=line)
    return FileError(path, f"not YAML here: {problem}; is a quote, a colon or the indentation amiss?", line=line)


class _Maker:
    """Values from nodes, counting what aliases repeat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: set[int] = set()
        self.inside: set[int] = set()
        self.repeated = 0

    def fail(self, node: Node, problem: str, steps: tuple[str, ...]) -> FileError:
        return FileError(self.path, problem, line=node.start_mark.line + 1, key=".".join(steps) or None)

    def make(self, node: Node, steps: tuple[str, ...]) -> Any:
        if id(node) in self.inside:
            raise self.fail(node, "an anchor that contains itself", steps)
        if id(node) in self.seen:
            self.repeated += 1
            if self.repeated > ALIAS_LIMIT:
                raise self.fail(node, f"aliases repeat more than {ALIAS_LIMIT} values; write them out", steps)
        self.seen.add(id(node))
        if isinstance(node, ScalarNode):
            return self.scalar(node, steps)
        self.inside.add(id(node))
        try:
            return self.mapping(node, steps) if isinstance(node, MappingNode) else self.sequence(node, steps)
        finally:
            self.inside.discard(id(node))

    def sequence(self, node: Node, steps: tuple[str, ...]) -> list[Any]:
        if node.tag != TAG + "seq":
            raise self.fail(node, f"the tag {excerpt(node.tag)} means nothing here; remove it", steps)
        return [self.make(item, (*steps, str(i))) for i, item in enumerate(node.value, 1)]

    def mapping(self, node: Node, steps: tuple[str, ...]) -> dict[str, Any]:
        if node.tag != TAG + "map":
            raise self.fail(node, f"the tag {excerpt(node.tag)} means nothing here; remove it", steps)
        out: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self.fail(key_node, "a key must be text; quote it if it begins with a brace or bracket", steps)
            key = str(key_node.value)
            here = (*steps, key)
            if key in out:
                raise self.fail(key_node, f"written twice, first in line {lines[key]}; keep one", here)
            if key == "<<" and not key_node.style:
                raise self.fail(key_node, "merge keys are not taken; write the keys out", here)
            lines[key] = key_node.start_mark.line + 1
            out[key] = self.make(value_node, here)
        return out

    def scalar(self, node: ScalarNode, steps: tuple[str, ...]) -> Any:
        text = str(node.value)
        try:
            if node.tag == STR:
                return text
            if node.tag == NULL:
                return None
            if node.tag == BOOL:
                return {"true": True, "false": False}[text.lower()]
            number = int(text) if node.tag == INT else float(text) if node.tag == FLOAT else None
        except (ValueError, KeyError):
            raise self.fail(node, f"{excerpt(text)} is not what its tag says, or is too long a number", steps) from None
        if number is None:
            raise self.fail(node, f"the tag {excerpt(node.tag)} means nothing here; remove it", steps)
        if isinstance(number, float) and not math.isfinite(number):
            raise self.fail(node, f"{excerpt(text)} is too large a number", steps)
        return number
