"""A YAML text with another value in it: what stays the same stays as it was written, comments and quotes included.

Each difference is one splice at the place where the value stands; after it the text is read anew, until nothing
differs. ruamel.yaml was tried instead: it writes a whole file in its own indentation and spacing, and a comment above a
key goes with the key before it, where that is taken out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reroll.errors import FileError
from reroll.strict_yaml import parse_document, write_flow, write_yaml

__all__ = ["edited"]

JSON = Any
MOST = 1_000  # splices: one for each difference, so a text that needs more goes round in circles
Splice = tuple[int, int, str]  # from, to, what stands there instead


def edited(text: str, value: JSON, path: Path) -> str:
    """The text with this value, as `parse_document` reads it; unchanged where it says that already.

    Raises:  FileError: where the text cannot be changed so, for example inside what an alias repeats.

    >>> print(edited("a: 1   # one\\nb: {c: 'd'}\\n", {"a": 2, "b": {"c": "d", "e": [1]}}, Path("x.yaml")), end="")
    a: 2   # one
    b: {c: 'd', e: [1]}
    """
    ends = "\r\n" if "\r\n" in text and "\n" not in text.replace("\r\n", "") else "\n"
    said = text.replace(ends, "\n")
    for _ in range(MOST):
        old = parse_document(said, path).value
        if _same(old, value):
            return said.replace("\n", ends)
        root = yaml.compose(said, Loader=yaml.SafeLoader)
        if not isinstance(root, MappingNode) or not isinstance(value, Mapping):
            break
        start, end, new = _Text(said).change(root, old, value)
        if said[start:end] == new:
            break
        said = said[:start] + new + said[end:]
    raise FileError(path, "this change cannot be written into the file as it stands; make it by hand")


def _same(a: JSON, b: JSON) -> bool:
    return json.dumps(a) == json.dumps(b)


@dataclass(frozen=True, slots=True)
class _Text:
    """One text, whose first difference from a value becomes a splice."""

    said: str

    def change(self, node: Node, old: JSON, new: JSON) -> Splice:
        """The first difference inside a collection."""
        if isinstance(node, MappingNode):
            return self.mapping(node, old, new)
        assert isinstance(node, SequenceNode)
        return self.sequence(node, old, new)

    # -- mappings

    def mapping(self, node: MappingNode, old: dict[str, JSON], new: dict[str, JSON]) -> Splice:
        pairs = {str(key.value): (key, value) for key, value in node.value}
        gone = [key for key in old if key not in new]
        added = [key for key in new if key not in old]
        if renamed := self.renamed(pairs, old, new, gone, added):
            return renamed
        if node.flow_style:
            return self.flow_mapping(node, pairs, old, new)
        shared = [key for key in new if key in old]
        if gone and (shared or not added):  # else a new key comes first: a mapping without any is another text
            return self.lines_out(self.chunk(*pairs[gone[0]]))
        if not gone and shared != list(old):
            return self.moved([self.chunk(*pairs[key]) for key in old], [list(old).index(key) for key in shared])
        for key in shared:
            if not _same(old[key], new[key]):
                return self.value(*pairs[key], key, old[key], new[key])
        key = added[0]
        before = list(new)[: list(new).index(key)]
        entry = self.entry(key, new[key], node.start_mark.column)
        if not before:
            at = self.line_start(node.start_mark.index)
            return at, at, entry
        return self.after_line(self.chunk(*pairs[before[-1]])[1], entry)

    def renamed(
        self,
        pairs: Mapping[str, tuple[Node, Node]],
        old: Mapping[str, JSON],
        new: Mapping[str, JSON],
        gone: Sequence[str],
        added: Sequence[str],
    ) -> Splice | None:
        """A key with another name, whose value and place stay."""
        for a, b in zip(gone, added, strict=False):
            if list(old).index(a) == list(new).index(b) and _same(old[a], new[b]):
                key = pairs[a][0]
                return key.start_mark.index, key.end_mark.index, write_flow(b)
        return None

    def value(self, key: Node, node: Node, name: str, old: JSON, new: JSON) -> Splice:
        """Another value of a key in block style."""
        both = (isinstance(old, dict) and isinstance(new, dict)) or (isinstance(old, list) and isinstance(new, list))
        if both and old and new:
            return self.change(node, old, new)
        start, end = node.start_mark.index, self.tail(node)
        plain = not isinstance(new, dict | list) or not new
        if plain and isinstance(node, ScalarNode) and node.style not in ("|", ">"):
            if not (isinstance(new, str) and "\n" in new and not self.comment(end)):
                gap = "" if start and self.said[start - 1] in " \t" else " "
                return start, end, gap + _scalar(new, node.style)
        elif plain and not isinstance(new, str) and not isinstance(node, ScalarNode):
            return key.end_mark.index, end, f": {write_flow(new)}"
        return self.whole(key, end, name, new)

    def whole(self, key: Node, end: int, name: str, new: JSON) -> Splice:
        """A key with its value, written anew where it stands; what is said behind it stays behind its first line."""
        start = key.start_mark.index
        entry = self.entry(name, new, key.start_mark.column).lstrip(" ").removesuffix("\n")
        first, newline, rest = entry.partition("\n")
        comment = self.comment(end)
        if comment and newline:
            if first.endswith((":", "|", "|-", "|+")):
                return start, self.line_end(end), f"{first}{comment}{newline}{rest}"
            entry = write_flow({name: new})[1:-1]
        return start, end, entry

    # -- lists

    def sequence(self, node: SequenceNode, old: list[JSON], new: list[JSON]) -> Splice:
        a, b = [json.dumps(one) for one in old], [json.dumps(one) for one in new]
        if node.flow_style:
            return self.flow_sequence(node, a, b, old, new)
        chunks = [self.item(one) for one in node.value]
        if len(a) > 1 and sorted(a) == sorted(b) and len(set(a)) == len(a):
            return self.moved(chunks, [a.index(one) for one in b])
        for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            item = self.entries(new[k], node.start_mark.column) if m > k else ""
            if kind == "delete" or (kind == "replace" and j - i > m - k):
                return self.lines_out(chunks[i])
            if kind == "insert" or j - i < m - k:
                return self.after_line(chunks[i - 1][1], item) if i else (chunks[0][0], chunks[0][0], item)
            if isinstance(old[i], dict) and isinstance(new[k], dict) and old[i] and new[k]:
                first = next(iter(old[i]))
                if first in new[k] and next(iter(new[k])) == first:  # it stands behind the dash
                    return self.change(node.value[i], old[i], new[k])
            return (*chunks[i], item)
        raise AssertionError("two equal lists")

    def entries(self, value: JSON, column: int) -> str:
        return _indented(write_yaml([value]), column)

    # -- flow style

    def flow_mapping(
        self, node: MappingNode, pairs: Mapping[str, tuple[Node, Node]], old: dict[str, JSON], new: dict[str, JSON]
    ) -> Splice:
        whole = node.start_mark.index, node.end_mark.index, write_flow(new)
        if [key for key in new if key in old] != list(old):
            return whole
        for key, (_, value) in pairs.items():
            if not _same(old[key], new[key]):
                return self.flow_value(value, old[key], new[key]) or whole
        key = next(key for key in new if key not in old)
        return self.flow_in(write_flow({key: new[key]})[1:-1], list(new).index(key), list(pairs.values())) or whole

    def flow_sequence(self, node: SequenceNode, a: list[str], b: list[str], old: list[JSON], new: list[JSON]) -> Splice:
        whole = node.start_mark.index, node.end_mark.index, write_flow(new)
        if len(a) == len(b):
            i = next(i for i in range(len(a)) if a[i] != b[i])
            return self.flow_value(node.value[i], old[i], new[i]) or whole
        i = next((i for i in range(len(b)) if a[i : i + 1] != b[i : i + 1]), 0)
        if len(b) == len(a) + 1 and b[:i] + b[i + 1 :] == a:
            return self.flow_in(write_flow(new[i]), i, [(one, one) for one in node.value]) or whole
        return whole

    def flow_value(self, node: Node, old: JSON, new: JSON) -> Splice | None:
        if isinstance(old, dict) and isinstance(new, dict) and old and new:
            return self.change(node, old, new)
        if isinstance(old, list) and isinstance(new, list) and old and new:
            return self.change(node, old, new)
        start, end = node.start_mark.index, node.end_mark.index
        if start == end:
            return None  # nothing stands there
        said = _scalar(new, node.style) if isinstance(node, ScalarNode) and node.style else write_flow([new])[1:-1]
        return start, end, said

    def flow_in(self, said: str, at: int, items: Sequence[tuple[Node, Node]]) -> Splice | None:
        """One more item of a flow collection; None where there is none that it could stand beside."""
        if not items:
            return None
        if at == 0:
            start = items[0][0].start_mark.index
            return start, start, f"{said}, "
        end = items[at - 1][1].end_mark.index
        return end, end, f", {said}"

    # -- places

    def tail(self, node: Node) -> int:
        """Where what a node says ends: without the lines and comments behind it."""
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, ScalarNode):
            return len(self.said[:end].rstrip()) if node.style in ("|", ">") else end
        assert isinstance(node, MappingNode | SequenceNode)
        if node.flow_style or not node.value:
            return end
        last = node.value[-1]
        return max(start, self.tail(last[1] if isinstance(last, tuple) else last))

    def line_start(self, at: int) -> int:
        return self.said.rfind("\n", 0, at) + 1

    def line_end(self, at: int) -> int:
        end = self.said.find("\n", at)
        return len(self.said) if end < 0 else end

    def comment(self, at: int) -> str:
        """What stands behind this place on its line."""
        behind = self.said[at : self.line_end(at)]
        return behind if behind.strip() else ""

    def chunk(self, key: Node, value: Node) -> tuple[int, int]:
        """The lines of an entry, from its key to the end of its value, without the last line's break."""
        return self.line_start(key.start_mark.index), self.line_end(max(self.tail(value), key.end_mark.index))

    def item(self, node: Node) -> tuple[int, int]:
        dash = self.said.rindex("-", 0, node.start_mark.index) if node.start_mark.index else 0
        return self.line_start(dash), self.line_end(self.tail(node))

    def entry(self, name: str, value: JSON, column: int) -> str:
        return _indented(write_yaml({name: value}), column)

    def after_line(self, end: int, lines: str) -> Splice:
        """Lines behind the line that ends there."""
        if end == len(self.said):
            return end, end, "\n" + lines
        return end + 1, end + 1, lines

    def lines_out(self, chunk: tuple[int, int]) -> Splice:
        start, end = chunk
        return start, min(end + 1, len(self.said)), ""

    def moved(self, chunks: Sequence[tuple[int, int]], order: Sequence[int]) -> Splice:
        """The chunks in another order; the comments above one go with it, those above the first stay."""
        starts = [chunks[0][0], *(end for _, end in chunks[:-1])]
        said = [self.said[start:end].removeprefix("\n") for start, (_, end) in zip(starts, chunks, strict=True)]
        return chunks[0][0], chunks[-1][1], "\n".join(said[k] for k in order)


def _indented(lines: str, column: int) -> str:
    return "".join(" " * column + line if line.strip() else line for line in lines.splitlines(keepends=True))


def _scalar(value: JSON, style: str | None) -> str:
    """A value on one line, quoted as the one before was."""
    if not isinstance(value, str):
        return write_flow(value)
    if style == '"' or "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    return "'" + value.replace("'", "''") + "'" if style == "'" else write_flow(value)
