"""Taking one fix out of a program again: what it changed, as data, and the program as if it had never been applied."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.program import Example, Program, canonical

__all__ = ["undo_of", "without"]

JSON = Any
# The lists of a program whose parts have names, and what a field of the answer consists of.
NAMED = ("system", "documents", "examples", "fields", "tools")
PLAIN = ("structured", "model", "base_url", "user", "raw")
STAND_INS = ("neutral", "alternatives")


def undo_of(before: Program, after: Program) -> list[dict[str, JSON]]:
    """What must be known to take the change out again, as JSON: each part with what it said and what it says now.

    >>> was = Program(program="p", system={"role": "Be kind."})
    >>> undo_of(was, was.model_copy(update={"model": "openai:x"}))
    [{'part': 'model', 'was': 'bundled', 'is': 'openai:x'}]
    """
    by_part = _by_part(before, after)
    back = without(by_part, after)
    if back is not None and back == before and back.id == before.id:
        return by_part
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    keys = [key for key in was if not _same(was[key], now[key])]
    return [{"part": key, "was": was[key], "is": now[key]} for key in keys]


def _by_part(before: Program, after: Program) -> list[dict[str, JSON]]:
    """The change in parts as small as they are, so that another fix may change the part beside."""
    out: list[dict[str, JSON]] = []
    for root in NAMED:
        was, now = _list(before, root), _list(after, root)
        for name in dict.fromkeys([*was, *now]):
            if canonical(was.get(name)) != canonical(now.get(name)):
                entry = {"part": f"{root}.{name}", **_only_what_changed(was.get(name), now.get(name))}
                if name not in now:
                    entry["behind"] = list(was)[: list(was).index(name)]
                out.append(entry)
        shared = [name for name in was if name in now]
        if shared != (moved := [name for name in now if name in was]):
            out.append({"part": f"{root}.order", "was": shared, "is": moved})
    if isinstance(before.system, str) and before.system != after.system:
        out.append({"part": "one-text", "was": before.system, "is": after.system})
    for name in dict.fromkeys([*before.params, *after.params]):
        a, b = before.params.get(name), after.params.get(name)
        if canonical(a) != canonical(b):
            out.append({"part": f"params.{name}", "was": a, "is": b})
    for key in PLAIN:
        if (a := getattr(before, key)) != (b := getattr(after, key)):
            out.append({"part": key, "was": a, "is": b})
    had = [canonical(one) for one in before.steps]
    out += [{"part": "steps.last", "was": None, "is": one} for one in after.steps if canonical(one) not in had]
    for key in STAND_INS:
        gone = {k: v for k, v in getattr(before, key).items() if k not in getattr(after, key)}
        if gone:
            out.append({"part": f"{key}.gone", "was": gone, "is": {}})
    return out


def without(undo: Sequence[Mapping[str, JSON]], program: Program) -> Program | None:
    """The program without the fix that this is the undo of, whatever was applied since.

    None where one of its parts no longer says what the fix wrote: then taking it out would take out more.
    """
    taking = _Taking(program)
    return taking.program() if all(taking.out(entry) for entry in undo) else None


class _Taking:
    """A program's parts while a fix is taken out of them."""

    def __init__(self, program: Program) -> None:
        self.whole = program
        self.lists = {root: _list(program, root) for root in NAMED}
        self.params, self.steps = dict(program.params), list(program.steps)
        self.change: dict[str, JSON] = {}
        self.one_text: str | None = None

    def out(self, entry: Mapping[str, JSON]) -> bool:
        """Whether the part said what the fix wrote; then it is as it was before."""
        root, dot, name = entry["part"].partition(".")
        was, now = entry["was"], entry["is"]
        if root == "one-text":
            self.one_text = was if _same(self.whole.system, now) else None
            return True
        if not dot:  # a key as a whole
            self.change[root] = was
            return _same(self.whole.model_dump(mode="json")[root], now)
        if root in NAMED:
            return self._reorder(root, was, now) if name == "order" else _put_back(self.lists[root], name, entry)
        if root in STAND_INS:
            self.change[root] = {**getattr(self.whole, root), **was}
        elif root == "params":
            fits = canonical(self.params.get(name)) == canonical(now)
            self.params = {k: v for k, v in {**self.params, name: was}.items() if v is not None or k != name}
            return fits
        elif canonical(now) in (known := [canonical(one) for one in self.steps]):
            del self.steps[known.index(canonical(now))]
        else:
            return False
        return True

    def _reorder(self, root: str, was: Sequence[str], now: Sequence[str]) -> bool:
        """Whether what is left of these parts stands in the order of the fix; then it stands as before."""
        parts = self.lists[root]
        if [name for name in parts if name in now] != [name for name in now if name in parts]:
            return False
        order = iter([name for name in was if name in parts])
        names = [next(order) if name in now else name for name in parts]
        self.lists[root] = {name: parts[name] for name in names}
        return True

    def program(self) -> Program:
        """The parts together; a system message in one text stays one where nothing changed."""
        lists, whole = self.lists, self.whole
        made: dict[str, JSON] = {
            "documents": lists["documents"],
            "tools": tuple(lists["tools"].values()),
            "examples": tuple(Example(name=name, **said) for name, said in lists["examples"].items()),
            "params": self.params,
            "steps": tuple(self.steps),
        }
        if self.one_text is not None:
            made["system"] = self.one_text
        elif list(lists["system"].items()) != list(whole.clauses().items()):
            made["system"] = lists["system"]
        if list(lists["fields"].items()) != list(_list(whole, "fields").items()):
            made["response"] = _response(whole, lists["fields"])
        return Program.model_validate({**whole.model_dump(), **made, **self.change})


def _same(a: JSON, b: JSON) -> bool:
    """Whether two values are the same, the order of their keys too."""
    return json.dumps(a) == json.dumps(b)


def _list(program: Program, root: str) -> dict[str, JSON]:
    """The parts of one list by name, each as JSON."""
    match root:
        case "system":
            return dict(program.clauses())
        case "documents":
            return dict(program.documents)
        case "examples":
            return {e.name: {"user": e.user, "assistant": e.assistant} for e in program.examples}
        case "tools":
            return {str(tool.get("function", tool).get("name")): dict(tool) for tool in program.tools}
    response = program.response or {}
    required = response.get("required") or ()
    fields = response.get("properties") or {}
    return {name: {"required": name in required, "schema": schema} for name, schema in fields.items()}


def _only_what_changed(was: JSON, now: JSON) -> dict[str, JSON]:
    """Of a field that stays, the keys of its schema that differ: another fix may change its other ones."""
    if not (isinstance(was, Mapping) and isinstance(now, Mapping) and "schema" in was and "schema" in now):
        return {"was": was, "is": now}
    a, b = was["schema"], now["schema"]
    keys = [k for k in dict.fromkeys([*a, *b]) if canonical(a.get(k)) != canonical(b.get(k))]
    return {"keys": keys, "was": {k: a[k] for k in keys if k in a}, "is": {k: b[k] for k in keys if k in b}}


def _put_back(parts: dict[str, JSON], name: str, entry: Mapping[str, JSON]) -> bool:
    """Whether the part said what the fix wrote; then it says what stood there before."""
    was, now = entry["was"], entry["is"]
    if "keys" in entry:
        schema = parts.get(name, {}).get("schema")
        if schema is None or {k: schema[k] for k in entry["keys"] if k in schema} != now:
            return False
        kept = {k: was.get(k, v) for k, v in schema.items() if k not in entry["keys"] or k in was}
        parts[name] = {**parts[name], "schema": {**kept, **was}}
        return True
    if canonical(parts.get(name)) != canonical(now):
        return False
    if was is None:
        del parts[name]
    elif name in parts:
        parts[name] = was
    else:
        at = max((list(parts).index(one) + 1 for one in entry["behind"] if one in parts), default=0)
        items = list(parts.items())
        parts.clear()
        parts.update([*items[:at], (name, was), *items[at:]])
    return True


def _response(program: Program, fields: Mapping[str, JSON]) -> dict[str, JSON]:
    """The answer's form with these fields; those that are required in the order that they have now."""
    response: dict[str, JSON] = {
        **(program.response or {}),
        "properties": {name: one["schema"] for name, one in fields.items()},
    }
    if isinstance(response.get("required"), list):
        kept = [name for name in response["required"] if fields.get(name, {"required": True})["required"]]
        names = [name for name in fields if fields[name]["required"]]
        kept = [name for name in kept if name in names]
        response["required"] = kept if sorted(kept) == sorted(names) else names
    return response
