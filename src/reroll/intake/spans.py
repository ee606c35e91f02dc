"""One span of a trace as plain values, and looking things up in its attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reroll.sample import made_often

__all__ = ["Event", "Span", "nested"]

JSON = Any
DEEPEST = 12  # no dialect nests its keys deeper
NUMBER = re.compile(r"[0-9]{1,4}")


@made_often
class Event:
    """`time` in Unix seconds; None where it is not known."""

    name: str
    attributes: Mapping[str, JSON]
    time: float | None = None


@made_often
class Span:
    """Ids in hexadecimal, times in Unix seconds; `error` is what its status says."""

    name: str
    trace: str
    id: str
    attributes: Mapping[str, JSON]
    events: tuple[Event, ...] = ()
    start: float | None = None
    end: float | None = None
    error: str | None = None

    def text(self, *names: str) -> str | None:
        """The first of these attributes that is a text with something in it."""
        for name in names:
            if isinstance(value := self.attributes.get(name), str) and value:
                return value
        return None

    def first(self, *names: str) -> JSON:
        """The first of these attributes that is there."""
        for name in names:
            if (value := self.attributes.get(name)) is not None:
                return value
        return None


def nested(attributes: Mapping[str, JSON], prefix: str) -> JSON:
    """What flat keys like `prefix.0.message.role` say together: numbered keys become lists, in their order.

    >>> nested({"a.1.b": 2, "a.0.b": 1, "c": 3}, "a")
    [{'b': 1}, {'b': 2}]
    """
    tree: dict[str, JSON] = {}
    begin = prefix + "."
    for key, value in attributes.items():
        if not key.startswith(begin):
            continue
        at, path = tree, key[len(begin) :].split(".", DEEPEST)
        for name in path[:-1]:
            if not isinstance(at.get(name), dict):
                at[name] = {}
            at = at[name]
        at[path[-1]] = value
    return _listed(tree)


def _listed(tree: JSON) -> JSON:
    if not isinstance(tree, dict):
        return tree
    if tree and all(NUMBER.fullmatch(name) for name in tree):
        return [_listed(tree[name]) for name in sorted(tree, key=int)]
    return {name: _listed(value) for name, value in tree.items()}
