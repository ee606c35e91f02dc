"""The example project's cases and fixes as exact texts, with what was constructed and what the model does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from training import corpus as c
from training.scenarios import BASE

CLAUSES = {
    "role": "You turn a request into one meeting.",
    "today": "Today is Wednesday 2026-11-18.",
    "format": "Answer with one JSON object and nothing else.",
}
TYPES = {"date": "string, date", "time": "string", "duration_min": "integer", "attendees": "array of string"}
NOTE = "'next Friday' is NOT this Friday but the Friday of next week."
RULE = "'Next Friday' means the Friday of next week."
POLICY = "Next Friday always means the Friday of the following week. Half seven means 19:30."
GOOD_DATE = "ISO date. 'next Friday' is the Friday of next week."
BAD_DATE = "the coming Friday, or whichever weekday is named: always the nearest one"
GOOD_TIME = "24h clock; half seven is 19:30"
COFFEE = "Coffee with Ben next Friday at 10:00 for 30 minutes"


@dataclass(frozen=True)
class Case:
    id: str
    set: str  # case | neighbour | lookalike | control
    of: str | None
    text: str
    request: c.Request


def _next(day: int, **more: Any) -> c.Request:
    return c.Request(date_kind="next", day=day, **more)


def _on(day: int, **more: Any) -> c.Request:
    return c.Request(date_kind="on", day=day, **more)


def _unsaid(**more: Any) -> dict[str, Any]:
    return {"length_kind": "unsaid", "minutes": 60, **more}


NOON = {"time_kind": "noon", "hour": 12}
CASES = [
    Case("next-friday", "case", None, "Lunch with Ana next Friday at noon", _next(4, **NOON, **_unsaid())),
    Case(
        "next-friday-call",
        "neighbour",
        "next-friday",
        "Call with Priya next Friday at 15:30 for 30 minutes",
        _next(4, hour=15, minute=30, minutes=30, names=("Priya",)),
    ),
    Case(
        "next-thursday-coffee",
        "neighbour",
        "next-friday",
        "Coffee with Ben next Thursday at 10:00",
        _next(3, hour=10, names=("Ben",), **_unsaid()),
    ),
    Case(
        "next-friday-dinner",
        "neighbour",
        "next-friday",
        "Dinner with Omar and Lena next Friday at 18:00 for 90 minutes",
        _next(4, hour=18, minutes=90, names=("Omar", "Lena")),
    ),
    Case(
        "next-thursday-review",
        "neighbour",
        "next-friday",
        "Book a review with Kim next Thursday at 9am for 45 minutes.",
        _next(3, hour=9, minutes=45, names=("Kim",)),
    ),
    Case("this-friday", "lookalike", "next-friday", "Lunch with Ana on Friday at noon", _on(4, **NOON, **_unsaid())),
    Case(
        "next-monday", "lookalike", "next-friday", "Lunch with Ana next Monday at noon", _next(0, **NOON, **_unsaid())
    ),
    Case(
        "friday-next-week",
        "lookalike",
        "next-friday",
        "Lunch with Ana on Friday next week at noon",
        c.Request(date_kind="nextweek", day=4, **NOON, **_unsaid()),
    ),
    Case(
        "half-seven",
        "case",
        None,
        "Dinner with Omar on Friday at half seven",
        _on(4, time_kind="half", hour=7, names=("Omar",), **_unsaid()),
    ),
    Case(
        "half-six",
        "neighbour",
        "half-seven",
        "Drinks with Eva tomorrow at half six for 90 minutes",
        c.Request(date_kind="tomorrow", time_kind="half", hour=6, minutes=90, names=("Eva",)),
    ),
    Case(
        "half-past-seven",
        "lookalike",
        "half-seven",
        "Dinner with Omar on Friday at half past seven",
        _on(4, time_kind="halfpast", hour=7, names=("Omar",), **_unsaid()),
    ),
    Case(
        "clear-thursday",
        "control",
        None,
        "Meeting with Priya on Thursday at 15:00 for 45 minutes",
        _on(3, hour=15, minutes=45, names=("Priya",)),
    ),
    Case(
        "clear-tomorrow",
        "control",
        None,
        "Call with Tom tomorrow at 9:30 for 30 minutes",
        c.Request(date_kind="tomorrow", hour=9, minute=30, minutes=30, names=("Tom",)),
    ),
    Case(
        "clear-friday",
        "control",
        None,
        "Coffee with Lena on Friday at 10:00 for 60 minutes",
        _on(4, hour=10, names=("Lena",)),
    ),
    Case(
        "awkward",
        "case",
        None,
        "um so like lunch w/ Ana next Friday i guess at noon or something",
        _next(4, **NOON, **_unsaid(awkward=True)),
    ),
    Case(
        "rambling",
        "case",
        None,
        "The lift is broken and we walk a lot. My train was late again. Meeting with Ana and Ben on "
        "Thursday at 15:00 for 45 minutes. The soup was too salty. Everybody is tired these days.",
        _on(3, hour=15, minutes=45, names=("Ana", "Ben"), ramble=4),
    ),
]


@dataclass(frozen=True)
class Fix:
    """One change of the baseline: what it replaces in the texts, and the program it makes in the corpus."""

    id: str
    what: str
    program: c.Program = BASE
    clauses: dict[str, str | None] = field(default_factory=dict)  # None removes; new names go to the end
    documents: tuple[tuple[str, str], ...] = ()
    descriptions: dict[str, str] = field(default_factory=dict)
    types: bool = True
    fields: bool = True
    order: tuple[str, ...] = c.FIELDS
    shots: tuple[tuple[str, str], ...] = ()

    def prompt(self, user: str) -> c.Prompt:
        clauses = [text for text in {**CLAUSES, **self.clauses}.values() if text]
        fields = [(f, TYPES[f] if self.types else None, self.descriptions.get(f)) for f in self.order]
        system = c.system_message(clauses, self.documents, fields if self.fields else None)
        return c.Prompt(system, self.shots, user)


def _json(date: str, time: str, minutes: int, name: str) -> str:
    return f'{{"date":"{date}","time":"{time}","duration_min":{minutes},"attendees":["{name}"]}}'


SHORT = (
    ("Call with Eva on Friday at 11:00 for 30 minutes", _json("2026-11-20", "11:00", 30, "Eva")),
    ("Sync with Dan tomorrow at 14:00 for 30 minutes", _json("2026-11-19", "14:00", 30, "Dan")),
    ("Chat with Mia on Thursday at 16:30 for 30 minutes", _json("2026-11-19", "16:30", 30, "Mia")),
)

FIXES = [
    Fix("baseline", "nothing changed"),
    Fix(
        "describe-date",
        f"date description: {GOOD_DATE}",
        replace(BASE, described=(("date", "good"),)),
        descriptions={"date": GOOD_DATE},
    ),
    Fix(
        "misleading-date",
        f"date description: {BAD_DATE}",
        replace(BASE, described=(("date", "bad"),)),
        descriptions={"date": BAD_DATE},
    ),
    Fix("note", f"clause: {NOTE}", replace(BASE, notes=1), clauses={"note": NOTE}),
    Fix("note-twice", "the same clause twice", replace(BASE, notes=2), clauses={"note": NOTE, "again": NOTE}),
    Fix("rule", f"clause: {RULE}", replace(BASE, rules=1), clauses={"rule": RULE}),
    Fix("rule-twice", "the same clause twice", replace(BASE, rules=2), clauses={"rule": RULE, "again": RULE}),
    Fix("policy", f"document policy: {POLICY}", replace(BASE, docs=("both",)), documents=(("policy", POLICY),)),
    Fix(
        "covering-example",
        f"example: {COFFEE} -> 2026-11-27",
        replace(BASE, shots=("covering",)),
        shots=((COFFEE, _json("2026-11-27", "10:00", 30, "Ben")),),
    ),
    Fix(
        "stale-example",
        f"example: {COFFEE} -> 2026-11-20",
        replace(BASE, shots=("stale",)),
        shots=((COFFEE, _json("2026-11-20", "10:00", 30, "Ben")),),
    ),
    Fix(
        "old-format-example",
        "example: Coffee with Ben on Friday at 10:00 for 45 minutes -> 20/11/2026",
        replace(BASE, shots=("oldformat",)),
        shots=(("Coffee with Ben on Friday at 10:00 for 45 minutes", _json("20/11/2026", "10:00", 45, "Ben")),),
    ),
    Fix(
        "plain-example",
        "example: Coffee with Ben on Friday at 10:00 for 45 minutes -> 2026-11-20",
        replace(BASE, shots=("plain",)),
        shots=(("Coffee with Ben on Friday at 10:00 for 45 minutes", _json("2026-11-20", "10:00", 45, "Ben")),),
    ),
    Fix("skewed-examples", "three examples, all of 30 minutes", replace(BASE, shots=("short",) * 3), shots=SHORT),
    Fix(
        "describe-time",
        f"time description: {GOOD_TIME}",
        replace(BASE, described=(("time", "good"),)),
        descriptions={"time": GOOD_TIME},
    ),
    Fix(
        "describe-attendees",
        "attendees description: every name in the request",
        replace(BASE, described=(("attendees", "good"),)),
        descriptions={"attendees": "every name in the request"},
    ),
    Fix(
        "describe-duration",
        "duration_min description: whole minutes; 60 if the request does not say",
        replace(BASE, described=(("duration_min", "good"),)),
        descriptions={"duration_min": "whole minutes; 60 if the request does not say"},
    ),
    Fix(
        "other-role",
        "role: You are a careful scheduling assistant.",
        clauses={"role": "You are a careful scheduling assistant."},
    ),
    Fix("step-by-step", "clause: Think step by step.", clauses={"steps": "Think step by step."}),
    Fix(
        "format-twice",
        "the format clause again at the end",
        replace(BASE, format="twice"),
        clauses={"again": CLAUSES["format"]},
    ),
    Fix("no-format", "format clause removed", replace(BASE, format="none"), clauses={"format": None}),
    Fix("weak-format", "format: Reply in JSON.", replace(BASE, format="weak"), clauses={"format": "Reply in JSON."}),
    Fix("no-role", "role clause removed", clauses={"role": None}),
    Fix("no-today", "today clause removed", replace(BASE, today=None), clauses={"today": None}),
    Fix("no-types", "types removed", replace(BASE, typed=()), types=False),
    Fix("no-fields", "Fields block removed", replace(BASE, fields=False), fields=False),
    Fix(
        "reordered",
        "fields in the order time, date, attendees, duration_min",
        replace(BASE, order=("time", "date", "attendees", "duration_min")),
        order=("time", "date", "attendees", "duration_min"),
    ),
    Fix(
        "note-and-description",
        "note and describe-date together",
        replace(BASE, notes=1, described=(("date", "good"),)),
        clauses={"note": NOTE},
        descriptions={"date": GOOD_DATE},
    ),
]


def _expected(case: Case) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(c.right_answer(BASE, case.request))
    return made


def _due(fix: Fix, case: Case) -> float:
    """The constructed rate of the truly right answer, also where the prompt no longer says what day it is."""
    if c.dates(fix.program, case.request)[0] != c.dates(BASE, case.request)[0]:
        return 1.0
    return c.failure_rate(fix.program, case.request)


def right_answer(fix: Fix, case: Case) -> str:
    return c.right_answer(BASE, case.request)


def measured(rates: Callable[[list[tuple[str, str]]], list[float]]) -> dict[str, Any]:
    """Every case under every fix: constructed and exact failure; with all texts needed to write the project."""
    pairs = [(c.render(fix.prompt(case.text)), right_answer(fix, case)) for case in CASES for fix in FIXES]
    found = iter(rates(pairs))
    cases = []
    for case in CASES:
        failure = {fix.id: {"constructed": round(_due(fix, case), 4), "model": round(next(found), 4)} for fix in FIXES}
        cases.append(
            {
                "id": case.id,
                "set": case.set,
                "of": case.of,
                "request": case.text,
                "expected": _expected(case),
                "failure": failure,
            }
        )
    return {
        "today": "Wednesday 2026-11-18",
        "clauses": CLAUSES,
        "types": TYPES,
        "baseline_system": FIXES[0].prompt("").system,
        "fixes": [
            {"id": f.id, "what": f.what, "system": f.prompt("").system, "examples": [list(s) for s in f.shots]}
            for f in FIXES
        ],
        "cases": cases,
    }


def as_markdown(found: dict[str, Any]) -> str:
    """Fixes down, cases across: constructed → model."""
    ids = [case["id"] for case in found["cases"]]
    lines = ["| fix | " + " | ".join(ids) + " |", "|---" * (len(ids) + 1) + "|"]
    for fix in found["fixes"]:
        cells = [case["failure"][fix["id"]] for case in found["cases"]]
        lines.append(
            f"| {fix['id']} | " + " | ".join(f"{x['constructed']:.2f} → {x['model']:.3f}" for x in cells) + " |"
        )
    return "\n".join(lines)
