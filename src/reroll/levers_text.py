"""Levers on what is said: clauses, examples and documents. Each gives the keys of a program that it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypeVar

from reroll.draft import Pieces
from reroll.errors import UsageError
from reroll.fillers import sentences
from reroll.fix import Fix
from reroll.match import excerpt, nearest, show
from reroll.program import Example, Program, canonical

__all__ = ["TEXT_LEVERS", "nowhere", "permuted", "said_as"]

JSON = Any
T = TypeVar("T")
Change = dict[str, JSON]


def nowhere(root: str, name: str, known: Sequence[str]) -> UsageError:
    """The error of a target that the program does not have, with the nearest that it has."""
    ids = [f"{root}.{one}" for one in known]
    hint = nearest(f"{root}.{name}", ids) or f"; there are {', '.join(ids) or 'none'}"
    return UsageError(f"the program has no `{root}.{name}`{hint}", slug="fix")


def _name(fix: Fix) -> str:
    return str(fix.target).partition(".")[2]


def placed(parts: Mapping[str, T], root: str, name: str, value: T, at: JSON) -> dict[str, T]:
    """The parts with this one at its place. Raises: UsageError where the place is beside a part that is not there.

    >>> list(placed({"a": 1, "b": 2}, "system", "c", 3, {"before": "b"}))
    ['a', 'c', 'b']
    """
    rest = {k: v for k, v in parts.items() if k != name}
    if at in (None, "last"):
        return {**rest, name: value}
    if at == "first":
        return {name: value, **rest}
    [(side, beside)] = at.items()
    if beside not in rest:
        raise nowhere(root, beside, list(rest))
    out: dict[str, T] = {}
    for k, v in rest.items():
        if k == beside and side == "before":
            out[name] = value
        out[k] = v
        if k == beside and side == "after":
            out[name] = value
    return out


def permuted(names: Sequence[str], order: Sequence[str], root: str) -> list[str]:
    """The names with those of `order` in that order, at the places that they have; all others stay.

    >>> permuted(["x", "a", "b"], ["b", "a"], "examples")
    ['x', 'b', 'a']
    """
    for name in order:
        if name not in names:
            raise nowhere(root, name, names)
    said = iter(order)
    return [next(said) if name in order else name for name in names]


def _new(parts: Mapping[str, T], root: str, name: str, value: T, at: JSON, other: str) -> dict[str, T]:
    """The parts with a new one; as they are where it says this already."""
    if name not in parts:
        return placed(parts, root, name, value, at)
    if parts[name] != value:
        raise UsageError(f"the program has a `{root}.{name}` that says something else; {other}", slug="fix")
    return dict(parts)


# -- clauses -----------------------------------------------------------------------------------------------------------


def _there(program: Program, name: str) -> dict[str, str]:
    """The clauses, among them this one."""
    clauses = program.clauses()
    if name not in clauses:
        raise nowhere("system", name, list(clauses))
    return clauses


def _clauses(program: Program, clauses: Mapping[str, str]) -> Change:
    """As they are where nothing changed: a system message in one text stays one text."""
    same = list(clauses.items()) == list(program.clauses().items())
    return {} if same else {"system": dict(clauses)}


def _clause_add(program: Program, fix: Fix) -> Change:
    other = "take `clause.edit`, or another name"
    added = _new(program.clauses(), "system", _name(fix), str(fix.text), fix.settings.get("at"), other)
    return _clauses(program, added)


def _clause_edit(program: Program, fix: Fix) -> Change:
    return _clauses(program, {**_there(program, _name(fix)), _name(fix): str(fix.text)})


def _clause_delete(program: Program, fix: Fix) -> Change:
    return _clauses(program, {k: v for k, v in program.clauses().items() if k != _name(fix)})


def _clause_move(program: Program, fix: Fix) -> Change:
    name = _name(fix)
    clauses = _there(program, name)
    return _clauses(program, placed(clauses, "system", name, clauses[name], fix.settings["at"]))


def _clause_deconflict(program: Program, fix: Fix) -> Change:
    name, over = _name(fix), fix.settings["over"]
    clauses = _there(program, name)
    if name in over:
        raise UsageError(
            f"`{name}` is the clause that is kept, and stands in `over` too; take it out there", slug="fix"
        )
    kept = {k: v for k, v in clauses.items() if k not in over}
    return _clauses(program, kept if fix.text is None else {**kept, name: fix.text})


def _clause_repeat(program: Program, fix: Fix) -> Change:
    name = _name(fix)
    clauses = _there(program, name)
    text = clauses[name]
    for k in range(2, int(fix.settings.get("times", 2)) + 1):
        clauses = _new(clauses, "system", f"{name}-{k}", text, "last", "rename it")
    return _clauses(program, clauses)


def said_as(text: str, how: str) -> str:
    """A clause with emphasis; one that has it already stays as it is.

    >>> said_as(said_as("Answer in JSON.", "important"), "important")
    'IMPORTANT: Answer in JSON.'
    """
    if how == "caps":
        return text.upper()
    return f"IMPORTANT: {text}" if how == "important" and not text.startswith("IMPORTANT:") else text


def _clause_emphasise(program: Program, fix: Fix) -> Change:
    name, how = _name(fix), fix.settings["how"]
    clauses = _there(program, name)
    text = said_as(clauses[name], how)
    return _clauses(
        program, placed(clauses, "system", name, text, "last") if how == "last" else {**clauses, name: text}
    )


def _contrast_add(program: Program, fix: Fix) -> Change:
    given = fix.settings
    asked = f"Request: {given['user']}\n" if "user" in given else ""
    text = f"{asked}Right: {given['right']}\nWrong: {given['wrong']}\nReason: {given['reason']}"
    other = "take another name"
    return _clauses(program, _new(program.clauses(), "system", _name(fix), text, given.get("at"), other))


# -- examples ----------------------------------------------------------------------------------------------------------


def _examples(program: Program) -> dict[str, Example]:
    return {e.name: e for e in program.examples}


def _example_add(program: Program, fix: Fix) -> Change:
    name, given = _name(fix), fix.settings
    one = Example(name=name, user=given["user"], assistant=given["assistant"])
    added = _new(_examples(program), "examples", name, one, given.get("at"), "take another name")
    return {"examples": tuple(added.values())}


def _example_remove(program: Program, fix: Fix) -> Change:
    return {"examples": tuple(e for e in program.examples if e.name != _name(fix))}


def _example_reorder(program: Program, fix: Fix) -> Change:
    known = _examples(program)
    return {"examples": tuple(known[n] for n in permuted(list(known), fix.settings["order"], "examples"))}


def _example_balance(program: Program, fix: Fix) -> Change:
    by = fix.settings.get("by") or ""
    if not program.examples:
        raise UsageError("`example.balance` needs examples, and the program has none", slug="fix")
    groups: dict[str, list[Example]] = {}
    for example in program.examples:
        groups.setdefault(_value_at(example, by), []).append(example)
    least = min(map(len, groups.values()))
    rounds = zip_longest(*(group[:least] for group in groups.values()))
    return {"examples": tuple(e for one in rounds for e in one)}


def _value_at(example: Example, pointer: str) -> str:
    """What stands there in the example's answer, as text. Raises: UsageError where nothing does."""
    if not pointer:
        return example.assistant.strip()
    try:
        value = json.loads(example.assistant)
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (ValueError, KeyError, IndexError, TypeError):
        raise UsageError(
            f"the answer of `examples.{example.name}` has no {pointer}: {show(example.assistant, 40)}", slug="fix"
        ) from None
    return canonical(value)


# -- documents ---------------------------------------------------------------------------------------------------------


def _document(program: Program, fix: Fix) -> str:
    name = _name(fix)
    if name not in program.documents:
        raise nowhere("documents", name, list(program.documents))
    return program.documents[name]


def _document_add(program: Program, fix: Fix) -> Change:
    other = "take another name"
    added = _new(program.documents, "documents", _name(fix), str(fix.text), fix.settings.get("at"), other)
    return {"documents": added}


def _document_reorder(program: Program, fix: Fix) -> Change:
    names = permuted(list(program.documents), fix.settings["order"], "documents")
    return {"documents": {name: program.documents[name] for name in names}}


def _document_trim(program: Program, fix: Fix) -> Change:
    text, keep = _document(program, fix), fix.settings["keep"]
    said = [text[a:b] for a, b in sentences(text)]
    if isinstance(keep[0], str):
        for phrase in keep:
            if not any(phrase in one for one in said):
                raise UsageError(f"no sentence of `{fix.target}` contains {excerpt(phrase)}", slug="fix")
        kept = [k for k, one in enumerate(said) if any(phrase in one for phrase in keep)]
    elif len(said) == len(keep):
        return {}  # as many sentences as it would leave: it was trimmed before
    elif max(keep) > len(said):
        raise UsageError(
            f"`{fix.target}` has {len(said)} sentences, and `keep` names the {max(keep)}th; count from 1", slug="fix"
        )
    else:
        kept = sorted(k - 1 for k in keep)
    return {"documents": {**program.documents, _name(fix): _left(text, said, kept)}}


def _left(text: str, said: Sequence[str], kept: Sequence[int]) -> str:
    """The kept sentences, which stay as many sentences: otherwise a second trimming would count anew."""
    pieces = Pieces.of(text)
    for k in range(len(said)):
        if k not in kept:
            pieces.put(k, None)
    joined = str(pieces).strip() if len(kept) < len(said) else text
    return joined if len(sentences(joined)) == len(kept) else "\n\n".join(said[k] for k in kept)


def _document_quote(program: Program, fix: Fix) -> Change:
    text, passage = _document(program, fix), str(fix.text)
    if passage not in text:
        near = nearest(passage, [text[a:b] for a, b in sentences(text)])
        raise UsageError(f"`{fix.target}` does not say {excerpt(passage)} word for word{near}", slug="fix")
    name = str(fix.settings.get("name", f"quote-{_name(fix)}"))
    clause = f"Document {_name(fix)} says: {passage}"
    other = "say another `name`"
    return _clauses(program, _new(program.clauses(), "system", name, clause, "last", other))


TEXT_LEVERS: Mapping[str, Callable[[Program, Fix], Change]] = {
    "clause.add": _clause_add,
    "clause.edit": _clause_edit,
    "clause.delete": _clause_delete,
    "clause.move": _clause_move,
    "clause.deconflict": _clause_deconflict,
    "clause.repeat": _clause_repeat,
    "clause.emphasise": _clause_emphasise,
    "contrast.add": _contrast_add,
    "example.add": _example_add,
    "example.remove": _example_remove,
    "example.balance": _example_balance,
    "example.reorder": _example_reorder,
    "document.add": _document_add,
    "document.trim": _document_trim,
    "document.reorder": _document_reorder,
    "document.quote": _document_quote,
}
