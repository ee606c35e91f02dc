"""Which fixes get in each other's way: what each one changes of a program, and what it relies on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from reroll.fix import Fix
from reroll.lever_kinds import KINDS

__all__ = ["Claims", "claims", "conflicts", "order_matters"]

PLACE = "@"  # after the id of a part: where it stands, not what it says
SLOT = "^"  # after the name of a list: one of its ends, where only one thing can stand last


@dataclass(frozen=True, slots=True)
class Claims:
    """writes: ids of what a fix changes; reads: of what must be as it was for it to do what it says.

    An id with `@` is the place of a part, one with `^` an end of a list; an id covers those that begin with it.
    """

    writes: frozenset[str]
    reads: frozenset[str]

    def against(self, other: Claims) -> tuple[str, ...]:
        """What both want: one writes what the other writes or reads."""
        pairs = [(a, b) for a in self.writes for b in other.writes | other.reads]
        pairs += [(a, b) for a in self.reads for b in other.writes]
        return tuple(sorted({max(a, b, key=len) for a, b in pairs if _meet(a, b)}))


def _meet(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    return short == long or long.startswith((f"{short}.", f"{short}{PLACE}"))


def claims(fix: Fix) -> Claims:
    """What a fix of a known kind with right settings changes, and what it relies on.

    Two fixes whose claims do not meet can be applied in either order: the program is the same.

    >>> sorted(claims(Fix(fix="f", kind="clause.add", target="system.note", text="Mind.")).writes)
    ['system.note', 'system^last']
    """
    target, given = fix.target or KINDS[fix.kind].target or "", fix.settings
    writes, reads = {target} if target else set(), set[str]()
    if KINDS[fix.kind].step:
        return Claims(frozenset({"steps^last"}), frozenset())
    where = target.partition(".")[0]
    match fix.kind:
        case "clause.add" | "contrast.add" | "example.add" | "document.add":
            _beside(where, given.get("at"), writes, reads)
        case "clause.move":
            writes = {f"{target}{PLACE}"}
            _beside(where, given["at"], writes, reads)
        case "clause.emphasise" if given["how"] == "last":
            writes = {f"{target}{PLACE}", f"{where}^last"}
        case "clause.repeat":
            writes = {f"{target}-{k}" for k in range(2, int(given.get("times", 2)) + 1)} | {f"{where}^last"}
            reads = {target}
        case "clause.deconflict":
            writes |= {f"{where}.{name}" for name in given["over"]}
        case "document.quote":
            name = given.get("name", f"quote-{target.partition('.')[2]}")
            writes, reads = {f"system.{name}", "system^last"}, {target}
        case "example.reorder" | "document.reorder" | "response.reorder":
            writes = {f"{where}.{name}{PLACE}" for name in given["order"]} | {f"{where}.order"}
        case "example.balance":
            writes = {"examples", "examples^first", "examples^last"}
        case "response.on":
            writes = {"structured"} | ({"response", "response^first"} if "schema" in given else set())
        case "response.off":
            writes = {"structured"}
        case "reason.first":
            writes = {f"response.{given.get('name', 'reason')}", "response^first", "steps^last"}
        case "field.rename":
            old = target.removesuffix(".name")
            writes = {old, f"response.{fix.text}", "steps^last"}
        case "type.narrow" if "description" in given.get("schema", {}):
            writes = {target, f"{target.removesuffix('.type')}.description"}
    return Claims(frozenset(writes), frozenset(reads))


def _beside(root: str, at: object, writes: set[str], reads: set[str]) -> None:
    """The place that something is put to: an end, or beside a part that must be there."""
    if isinstance(at, dict):
        [(side, name)] = at.items()
        writes.add(f"{root}^{side}-{name}")
        reads.add(f"{root}.{name}{PLACE}")
    else:
        writes.add(f"{root}^{at or 'last'}")


def conflicts(fixes: Sequence[Fix]) -> tuple[str, ...]:
    """Each two fixes that want the same part to be different things, in words.

    >>> one = Fix(fix="one", kind="clause.edit", target="system.role", text="Be brief.")
    >>> conflicts([one, Fix(fix="two", kind="clause.delete", target="system.role")])
    ('`one` and `two` are both about system.role',)
    """
    return tuple(f"`{a.fix}` and `{b.fix}` are both about {_named(parts)}" for a, b, parts in _met(fixes) if parts)


def order_matters(fixes: Sequence[Fix]) -> tuple[str, ...]:
    """Each two fixes that put something at the same end of a list, where the later one stands last, in words."""
    return tuple(
        f"`{a.fix}` and `{b.fix}` both add at the same place: they are applied in the order in which they are named"
        for a, b, parts in _met(fixes)
        if not parts
    )


def _met(fixes: Sequence[Fix]) -> Iterable[tuple[Fix, Fix, list[str]]]:
    """Each two that meet, and in which parts; none where it is only an end of a list."""
    for a, b in combinations(fixes, 2):
        if a.id != b.id and (met := claims(a).against(claims(b))):
            yield a, b, [id for id in met if SLOT not in id]


def _named(parts: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(id.partition(PLACE)[0] for id in parts))
