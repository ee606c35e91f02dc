"""The eight kinds of lever on the bundled model: on a cause that each should help, and on one that it should not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reroll.init import EXAMPLE

__all__ = ["ATTEMPTS", "Attempt", "write"]

Doc = dict[str, Any]
RIGHT = '{"date":"2026-11-27","time":"10:00","duration_min":30,"attendees":["Ben"]}'
ASKED = "Coffee with Ben next Friday at 10:00 for 30 minutes"
NOTE = "'next Friday' is NOT this Friday but the Friday of next week."


@dataclass(frozen=True)
class Attempt:
    """A lever tried on a cause. before: what of the example program is changed beforehand; helps: whether it should."""

    lever: str
    fix: Mapping[str, Any]
    cause: str
    helps: bool
    before: str = ""
    budget: int = 800

    @property
    def words(self) -> str:
        return f"{self.fix['kind']}{f' ({self.before})' if self.before else ''}"


def _case(id: str, request: str, date: str, time: str, minutes: int, *names: str) -> Doc:
    right = {"date": date, "time": time, "duration_min": minutes, "attendees": list(names)}
    checks = [{"name": "right-meeting", "json": right}, {"name": "shape", "schema": True}]
    return {"id": id, "input": {"request": request}, "checks": checks}


HALF = [
    _case("half-six", "Drinks with Eva tomorrow at half six for 90 minutes", "2026-11-19", "18:30", 90, "Eva"),
    _case(
        "half-six-meeting", "Meeting with Ben on Friday at half six for 45 minutes", "2026-11-20", "18:30", 45, "Ben"
    ),
    _case("half-eight", "Dinner with Tom on Thursday at half eight", "2026-11-19", "20:30", 60, "Tom"),
    _case("half-five", "Coffee with Lena tomorrow at half five for 30 minutes", "2026-11-19", "17:30", 30, "Lena"),
]
CLEAR = [
    _case("call-kim", "Call with Kim on Thursday at 11:00 for 30 minutes", "2026-11-19", "11:00", 30, "Kim"),
    _case("meeting-ben", "Meeting with Ben on Friday at 14:00 for 60 minutes", "2026-11-20", "14:00", 60, "Ben"),
]
# By cause: the case, its neighbours and look-alikes, and the control cases; names are of the example's cases.
CAUSES: dict[str, tuple[str, list[str | Doc], list[str], list[str]]] = {
    "next Friday": (
        "next-friday",
        ["next-friday-call", "next-thursday-coffee", "next-friday-dinner", "next-thursday-review"],
        ["this-friday", "next-monday"],
        ["clear-thursday", "clear-tomorrow", "clear-friday"],
    ),
    "half seven": ("half-seven", [*HALF], ["half-past-seven"], ["clear-thursday", "clear-tomorrow", "clear-friday"]),
    "length as words": (
        "clear-thursday",
        ["clear-tomorrow", "clear-friday", *CLEAR],
        [],
        ["this-friday", "half-past-seven"],
    ),
}


def _both(lever: str, fix: Doc, helps: str, not_: str, before: str = "", budget: int = 2000) -> list[Attempt]:
    return [
        Attempt(lever, fix, helps, True, before, budget),
        Attempt(lever, fix, not_, False, before),
    ]


ATTEMPTS: list[Attempt] = [
    *_both(
        "system prompt",
        {"kind": "clause.add", "target": "system.rule", "text": "'Next Friday' means the Friday of next week."},
        "next Friday",
        "half seven",
    ),
    *_both(
        "few-shot",
        {"kind": "example.add", "target": "examples.next", "user": ASKED, "assistant": RIGHT},
        "next Friday",
        "half seven",
    ),
    *_both(
        "structured output",
        {"kind": "response.on", "target": "response", "structured": "describe"},
        "length as words",
        "half seven",
        "no form told",
        1500,
    ),
    *_both(
        "documentation",
        {
            "kind": "document.add",
            "target": "documents.policy",
            "text": "Next Friday always means the Friday of the following week.",
        },
        "next Friday",
        "half seven",
    ),
    *_both(
        "type annotations",
        {"kind": "type.narrow", "target": "response.duration_min.type", "type": "integer"},
        "length as words",
        "half seven",
        "no type of the length",
        1500,
    ),
    *_both(
        "field descriptions",
        {"kind": "field.describe", "target": "response.time.description", "text": "24h clock; half seven is 19:30"},
        "half seven",
        "next Friday",
    ),
    *_both(
        "reinforcement",
        {"kind": "clause.emphasise", "target": "system.note", "how": "caps"},
        "next Friday",
        "half seven",
        "a note there",
        1500,
    ),
    *_both(
        "contrastive prompting",
        {
            "kind": "contrast.add",
            "target": "system.next",
            "user": ASKED,
            "right": RIGHT,
            "wrong": RIGHT.replace("27", "20"),
            "reason": "'next Friday' is the Friday of next week.",
        },
        "next Friday",
        "half seven",
    ),
]


def write(folder: Path, attempt: Attempt) -> None:
    """A project in which this lever, as the fix `lever`, can be tried on this cause."""
    (folder / "fixes").mkdir(parents=True)
    program = yaml.safe_load((EXAMPLE / "program.yaml").read_text(encoding="utf-8"))
    if attempt.before == "no form told":
        program["structured"] = "off"
    elif attempt.before == "no type of the length":
        program["response"]["properties"]["duration_min"] = {}
    elif attempt.before == "a note there":
        program["system"]["note"] = NOTE
    known = {c["id"]: c for c in yaml.safe_load((EXAMPLE / "cases.yaml").read_text(encoding="utf-8"))["cases"]}
    case, neighbours, lookalikes, controls = CAUSES[attempt.cause]
    cases = [known[case] | {"set": "case"}]
    for kind, members in (("neighbour", neighbours), ("lookalike", lookalikes), ("control", controls)):
        for one in members:
            doc = known[one] if isinstance(one, str) else one
            rest = {k: v for k, v in doc.items() if k != "of"}
            cases.append(rest | {"set": kind} | ({} if kind == "control" else {"of": case}))
    for name, what in (("program", program), ("cases", {"cases": cases})):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(what, sort_keys=False), encoding="utf-8")
    fix = {"fix": "lever", **attempt.fix}
    (folder / "fixes" / "lever.yaml").write_text(yaml.safe_dump(fix, sort_keys=False), encoding="utf-8")
