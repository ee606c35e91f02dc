"""The ledger of a project: every fix that was tried or applied, what it still earns, and what all of them cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reroll.evidence import Est
from reroll.fix import Fix
from reroll.lever_kinds import KINDS
from reroll.match import listed
from reroll.numbers import counts, interval_words, percent

__all__ = [
    "APPLIED",
    "TRIED",
    "UNDONE",
    "WORTH",
    "Entry",
    "Ledger",
    "Made",
    "Together",
    "effect_words",
    "fix_in",
    "helped",
    "ledger_of",
]

JSON = Any
TRIED, APPLIED = "fix/1", "applied/1"  # rules of decisions
WORTH = 0.05  # points of failures: a fix that saves fewer than these, as far as runs tell, is kept for nothing
UNDONE = "undone"  # the verdict of a decision that took a fix out again


@dataclass(frozen=True, slots=True)
class Made:
    """A decision as it is stored. when: Unix time."""

    id: str
    rule: str
    verdict: str
    case: str | None
    when: float
    evidence: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Entry:
    """One fix, by what it does: its newest trial, and whether it is in the program.

    verdict:       accept, reject or undecided; None where it was applied and never tried here. tries: how often it was.
    before, after: failure rates of the neighbours; case_before, case_after: of the case itself.
    control_harm:  by how much more often control cases fail; `high` bounds it.
    tokens, extra_calls, usd: what it adds to one request, of tokens those of the prompt (and of the answer too, in a
                   trial that did not tell them apart); None: not known. branches: places where code decides;
                   literals: values that are written into it.
    worth:         how much more often requests fail without it, from the newest trial of another fix that took it out.
    stands:        of a fix in the program: `earns` (its worth is above 0), `debt` (it may be worth nothing, and a worth
                   of five points would have been seen), `unknown`; None of one that is not in it.
    """

    id: str
    fix: str
    kind: str
    target: str | None
    author: str
    case: str | None
    verdict: Literal["accept", "reject", "undecided"] | None
    when: float
    decision: str
    tries: int
    reasons: tuple[str, ...]
    before: Est | None
    after: Est | None
    case_before: Est | None
    case_after: Est | None
    control_harm: Est | None
    tokens: float | None
    extra_calls: float | None
    usd: float | None
    branches: int
    literals: int
    applied: bool = False
    applied_when: float | None = None
    worth: Est | None = None
    worth_seen: str | None = None
    stands: Literal["earns", "debt", "unknown"] | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """What the fixes in the program add to one request, all of them; a sum is None where a part is not known."""

    fixes: int
    prompt_tokens: float | None
    extra_calls: float | None
    usd: float | None
    branches: int
    literals: int
    debt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """All fixes: those in the program first, then those that were tried, newest first. text: it in a few sentences."""

    project: str
    fixes: tuple[Entry, ...]
    together: Together
    text: str
    caveats: tuple[str, ...] = field(default=())


def fix_in(evidence: object) -> Mapping[str, JSON]:
    """What the evidence of a decision says of the fix that it is about; empty where it is about none.

    >>> fix_in({"fix": {"fix": "tone"}})["fix"], fix_in({"fix": None}), fix_in([])
    ('tone', {}, {})
    """
    fix = evidence.get("fix") if isinstance(evidence, Mapping) else None
    return fix if isinstance(fix, Mapping) else {}


def ledger_of(project: str, made: Sequence[Made], steps: int = 0) -> Ledger:
    """The ledger of these decisions, in the order they were made. steps: how many the program has now."""
    entries: dict[str, Entry] = {}
    for one in made:
        fix = fix_in(one.evidence)
        if one.rule not in (TRIED, APPLIED) or not fix:
            continue
        id = _id(fix)
        if one.rule == TRIED:
            known = entries.get(id)
            new = _tried(one, id, fix)
            if known is not None:
                new = replace(
                    new, tries=known.tries + 1, applied=known.applied, applied_when=known.applied_when
                )  # the newest trial counts
            entries[id] = new
        else:
            undone = one.verdict == UNDONE or one.evidence.get("undo") is True
            there = entries.get(id) or _bare(one, id, fix)
            entries[id] = replace(there, applied=not undone, applied_when=None if undone else one.when)
    worths = _worths(made)
    found = [_standing(entry, worths) for entry in entries.values()]
    found.sort(key=lambda entry: (not entry.applied, -(entry.applied_when or entry.when)))
    together = _together([entry for entry in found if entry.applied])
    return Ledger(project, tuple(found), together, _text(found, together), _caveats(found, together, steps))


def helped(entries: Sequence[Entry], case: str) -> tuple[Entry, ...]:
    """What was tried for a case: what helped first, then what is not decided, then what did not; newest first each."""
    order = {"accept": 0, "undecided": 1, "reject": 2}
    mine = [entry for entry in entries if entry.case == case and entry.verdict is not None]
    return tuple(sorted(mine, key=lambda entry: (order[str(entry.verdict)], -entry.when)))


# ---------------------------------------------------------------- one decision


def _id(fix: Mapping[str, JSON]) -> str:
    if isinstance(fix.get("id"), str):
        return str(fix["id"])
    try:
        return Fix.model_validate(dict(fix)).id
    except ValueError:
        return str(fix.get("fix", "?"))


def _bare(one: Made, id: str, fix: Mapping[str, JSON]) -> Entry:
    """A fix of which no trial is known."""
    kind = str(fix.get("kind", ""))
    return Entry(
        id, str(fix.get("fix", id)), kind, fix.get("target"), str(fix.get("author") or ""), one.case, None, one.when,
        one.id, 0, (), None, None, None, None, None, None, None, None, _branches(kind), 0,
    )  # fmt: skip


def _tried(one: Made, id: str, fix: Mapping[str, JSON]) -> Entry:
    card = one.evidence.get("scorecard")
    card = card if isinstance(card, Mapping) else {}
    near, case = _both(card.get("neighbours")), _both(card.get("case"))
    literals = card.get("literals", 0)
    verdict: Any = one.verdict if one.verdict in ("accept", "reject", "undecided") else card.get("verdict", "undecided")
    return replace(
        _bare(one, id, fix),
        verdict=verdict,
        tries=1,
        reasons=tuple(str(reason) for reason in card.get("reasons") or ()),
        before=near[0],
        after=near[1],
        case_before=case[0],
        case_after=case[1],
        control_harm=_est(card.get("control_harm")),
        tokens=_number(card.get("prompt_tokens", card.get("tokens"))),
        extra_calls=_number(card.get("extra_calls")),
        usd=_number(card.get("usd")),
        branches=_branches(str(fix.get("kind", ""))) if card.get("branches") is None else int(card["branches"]),
        literals=len(literals) if isinstance(literals, list | tuple) else int(_number(literals) or 0),
    )


def _branches(kind: str) -> int:
    """Code decides something where a step acts on some answers and not on others."""
    known = KINDS.get(kind)
    return int(known is not None and known.step)


def _both(rates: JSON) -> tuple[Est | None, Est | None]:
    rates = rates if isinstance(rates, Mapping) else {}
    return _est(rates.get("before")), _est(rates.get("after"))


def _est(found: JSON) -> Est | None:
    """An estimate, or a rate, as it is stored; None where it is neither."""
    if not isinstance(found, Mapping) or "low" not in found:
        return None
    value = found.get("value", found.get("estimate"))
    return Est(_number(value), _number(found.get("low")), _number(found.get("high")), int(found.get("n") or 0))


def _number(value: JSON) -> float | None:
    """A number; of an estimate its value."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# ---------------------------------------------------------------- what is still worth its place


def _worths(made: Sequence[Made]) -> dict[str, tuple[Est, bool | None, str]]:
    """By id of a fix: its worth in the newest decision that took it out, and whether that was called debt there."""
    found: dict[str, tuple[Est, bool | None, str]] = {}
    for one in made:
        card = one.evidence.get("scorecard") if one.rule == TRIED else None
        for pile in (card.get("pile_up") or ()) if isinstance(card, Mapping) else ():
            worth = _est(pile.get("worth")) if isinstance(pile, Mapping) else None
            if worth is not None:
                found[str(pile.get("id"))] = worth, pile.get("debt"), one.id
    return found


def _standing(entry: Entry, worths: Mapping[str, tuple[Est, bool | None, str]]) -> Entry:
    if not entry.applied:
        return entry
    worth, debt, seen = worths.get(entry.id) or worths.get(entry.fix) or (None, None, None)
    return replace(entry, worth=worth, worth_seen=seen, stands=_stands(worth, debt))


def _stands(worth: Est | None, debt: bool | None = None) -> Literal["earns", "debt", "unknown"]:
    """Whether a fix earns its place. debt: what the trial said that took it out; None: it did not say.

    >>> _stands(Est(0.1, 0.02, 0.2, 60)), _stands(Est(0.0, -0.03, 0.03, 400)), _stands(Est(0.0, -0.3, 0.3, 10))
    ('earns', 'debt', 'unknown')
    """
    if worth is None or worth.low is None or worth.high is None:
        return "unknown"
    if worth.low > 0:
        return "earns"
    return "debt" if (worth.high < WORTH if debt is None else debt) else "unknown"


def _together(applied: Sequence[Entry]) -> Together:
    def added(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return Together(
        len(applied),
        added([entry.tokens for entry in applied]),
        added([entry.extra_calls for entry in applied]),
        added([entry.usd for entry in applied]),
        sum(entry.branches for entry in applied),
        sum(entry.literals for entry in applied),
        tuple(entry.fix for entry in applied if entry.stands == "debt"),
    )


def _to_apply(found: Sequence[Entry]) -> str:
    """What was accepted and is not in the program, as a sentence after others; empty where there is none."""
    names = [f"`{entry.fix}`" for entry in found if entry.verdict == "accept" and not entry.applied]
    if not names:
        return ""
    which = listed(names)
    return f" Accepted, and not in it: {which}; `reroll apply` puts {'it' if len(names) == 1 else 'each'} in."


def _text(found: Sequence[Entry], together: Together) -> str:
    if not found:
        return "No fix was tried yet."
    tried = [entry for entry in found if entry.verdict is not None]
    words = {"accept": "accepted", "reject": "rejected", "undecided": "undecided"}
    said = [
        f"{sum(entry.verdict == verdict for entry in tried)} {word}"
        for verdict, word in words.items()
        if any(entry.verdict == verdict for entry in tried)
    ]
    first = f"{counts('fix', len(tried))} tried: {', '.join(said)}." if tried else ""
    if not together.fixes:
        return f"{first} None is in the program.{_to_apply(found)}".strip()
    many = (
        "1 is in the program, which adds" if together.fixes == 1 else f"{together.fixes} are in the program, which add"
    )
    adds = [
        "an unknown number of prompt tokens"
        if together.prompt_tokens is None
        else counts("prompt token", round(together.prompt_tokens)),
        "an unknown number of calls" if together.extra_calls is None else f"{together.extra_calls:.2g} calls",
        counts("branch", together.branches),
        counts("literal", together.literals),
    ]
    second = f"{many} {', '.join(adds[:-1])} and {adds[-1]} to a request."
    debt = f"Kept for nothing, as far as runs tell: {', '.join(together.debt)}." if together.debt else ""
    return " ".join(part for part in (first, second, debt) if part)


def _caveats(found: Sequence[Entry], together: Together, steps: int) -> tuple[str, ...]:
    unknown = [entry.fix for entry in found if entry.stands == "unknown"]
    told = []
    if unknown:
        told.append(
            f"what {', '.join(unknown)} still earns is not known: trying another fix takes each one out in turn, and "
            "says so"
        )
    own = sum(entry.branches for entry in found if entry.applied)
    if steps > own:
        told.append(f"{counts('step', steps - own)} of program.yaml did not come from a fix that is in this ledger")
    return tuple(told)


def effect_words(before: Est | None, after: Est | None) -> str:
    """A failure rate before and after, with the range of the second.

    >>> effect_words(Est(0.35, 0.2, 0.5, 60), Est(0.02, 0.0, 0.09, 60))
    '35 % → 2 % (0–9 %)'
    """
    if before is None or after is None or before.value is None or after.value is None:
        return "not known"
    between = "" if after.low is None or after.high is None else f" ({interval_words(after.low, after.high)})"
    return f"{percent(before.value)} → {percent(after.value)}{between}"
