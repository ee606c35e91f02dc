"""What the evaluation asks: levers times requests, edits that keep the meaning, and the example project's cases."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from training import corpus as c
from training import surface as s

BASE = c.Program()  # the example project's program, said on Wednesday 2026-11-18

Draw = Callable[[random.Random, s.Style], c.Request]


def _request(**fixed: object) -> Draw:
    """Requests that agree in everything that matters and differ in the rest."""

    def draw(r: random.Random, style: s.Style) -> c.Request:
        count = int(fixed.get("count", 1))  # type: ignore[call-overload]
        base = c.Request(
            day=r.choice((3, 4)),
            hour=r.randrange(8, 20),
            minutes=r.choice((15, 30, 45, 60, 90)),
            names=c.draw_names(r, s.known_names(style), count),
        )
        made = replace(base, **{k: v for k, v in fixed.items() if k != "count"})  # type: ignore[arg-type]
        if made.length_kind == "unsaid":
            made = replace(made, minutes=60)
        return replace(made, hour=r.choice((5, 6, 7, 8, 9))) if made.time_kind == "half" else made

    return draw


REQUESTS: dict[str, Draw] = {
    "next Friday": _request(date_kind="next"),
    "next, length unsaid": _request(date_kind="next", length_kind="unsaid"),
    "clear": _request(date_kind="on"),
    "half seven": _request(date_kind="on", time_kind="half"),
    "hour and a half": _request(date_kind="on", length_kind="hourhalf", minutes=90),
    "three names": _request(date_kind="on", count=3),
    "awkward next": _request(date_kind="next", awkward=True),
    "rambling, two names": _request(date_kind="on", ramble=5, count=2),
}


def _described(*pairs: tuple[str, str]) -> c.Program:
    return replace(BASE, described=pairs)


LEVERS: dict[str, c.Program] = {
    "baseline": BASE,
    "no format clause": replace(BASE, format="none"),
    "format: Reply in JSON.": replace(BASE, format="weak"),
    "format clause twice": replace(BASE, format="twice"),
    "no types": replace(BASE, typed=()),
    "no Fields block": replace(BASE, fields=False),
    "fields reordered": replace(BASE, order=("attendees", "duration_min", "time", "date")),
    "date rule": replace(BASE, rules=1),
    "date rule twice": replace(BASE, rules=2),
    "contrastive note": replace(BASE, notes=1),
    "contrastive note twice": replace(BASE, notes=2),
    "half-seven clause": replace(BASE, half=True),
    "document: date rule": replace(BASE, docs=("date",)),
    "document: both rules": replace(BASE, docs=("both",)),
    "document: irrelevant": replace(BASE, docs=("noise",)),
    "date description: good": _described(("date", "good")),
    "date description: misleading": _described(("date", "bad")),
    "date description: plain": _described(("date", "plain")),
    "time description: good": _described(("time", "good")),
    "time description: misleading": _described(("time", "bad")),
    "duration description: good": _described(("duration_min", "good")),
    "duration description: misleading": _described(("duration_min", "bad")),
    "attendees description: good": _described(("attendees", "good")),
    "attendees description: misleading": _described(("attendees", "bad")),
    "all described: good": _described(*((f, "good") for f in c.FIELDS)),
    "example: plain": replace(BASE, shots=("plain",)),
    "example: covering": replace(BASE, shots=("covering",)),
    "example: stale": replace(BASE, shots=("stale",)),
    "example: old date format": replace(BASE, shots=("oldformat",)),
    "example: half seven": replace(BASE, shots=("half",)),
    "examples: three of 30 minutes": replace(BASE, shots=("short",) * 3),
    "note and good description": replace(BASE, notes=1, described=(("date", "good"),)),
    "stale example and note": replace(BASE, shots=("stale",), notes=1),
}


# --- edits that keep the meaning ---------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """A way to write the same thing differently; `program` may be another one, whose due rate is then meant."""

    style: s.Style = s.CALM
    program: c.Program = BASE
    system: Callable[[str, random.Random], str] = lambda text, r: text
    user: Callable[[str, random.Random], str] = lambda text, r: text
    names: str = "mixed"  # mixed | known | made up


def _held(*kinds: str, **more: float) -> s.Style:
    return replace(s.CALM, held=frozenset(kinds), **more)  # type: ignore[arg-type]


def _swap(pattern: str, new: str) -> Callable[[str, random.Random], str]:
    return lambda text, r: re.sub(pattern, new, text)


def _drop_role(text: str, r: random.Random) -> str:
    return text.split("\n", 1)[1]


def _only_today(text: str, r: random.Random) -> str:
    return next(line for line in text.split("\n") if "2026-11" in line)


def _irrelevant(count: int) -> Callable[[str, random.Random], str]:
    def edit(text: str, r: random.Random) -> str:
        lines = text.split("\n")
        for _ in range(count):
            lines.insert(r.randrange(1, 4), r.choice(s.HELD["noise"]))
        return "\n".join(lines)

    return edit


def _one_sentence_more(text: str, r: random.Random) -> str:
    end = "" if text[-1] in ".?!" else "."
    return f"{text}{end} {r.choice(s.HELD['ramble'])}"


def _joined(text: str, r: random.Random) -> str:
    head, _, tail = text.partition("\nFields:")
    return head.replace("\n", " ") + "\nFields:" + tail


def _typos(rate: float) -> Callable[[str, random.Random], str]:
    def edit(text: str, r: random.Random) -> str:
        names = tuple(w for w in re.findall(r"[A-Za-z]+", text) if w in s.HELD["name"] or w in s.TRAIN["name"])
        return s.misspell_some(text, r, rate, names)

    return edit


EDITS: dict[str, Edit] = {
    "none (canonical wording)": Edit(),
    "other known wordings": Edit(replace(s.CALM, canonical=0.0)),
    "politeness before": Edit(_held("before", polite=0.5)),
    "politeness after": Edit(_held("after", polite=0.5)),
    "'Dear assistant, ... Thanks a million!'": Edit(
        user=lambda t, r: f"Dear assistant, {t[0].lower()}{t[1:]} Thanks a million!"
    ),
    "another role wording": Edit(_held("role")),
    "role removed": Edit(system=_drop_role),
    "another wording of today": Edit(_held("today")),
    "irrelevant system sentence": Edit(system=_irrelevant(1)),
    "three irrelevant system sentences": Edit(system=_irrelevant(3)),
    "'Think step by step.'": Edit(system=lambda t, r: t.replace("\nFields", "\nThink step by step.\nFields")),
    "irrelevant sentence in the request": Edit(user=_one_sentence_more),
    "clauses in one line": Edit(system=_joined),
    "typos: one word in ten": Edit(user=_typos(0.1)),
    "typos: one word in four": Edit(user=_typos(0.25)),
    "typos: nxt, meting, frday": Edit(
        user=lambda t, r: t.replace("next", "nxt").replace("meeting", "meting").replace("Friday", "Frday")
    ),
    "ALL CAPS, known names": Edit(user=lambda t, r: t.upper(), names="known"),
    "lower case, known names": Edit(user=lambda t, r: t.lower(), names="known"),
    "names never seen": Edit(_held("name")),
    "made-up names": Edit(names="made up"),
    "activity never seen": Edit(_held("act")),
    "another sentence pattern": Edit(_held("template")),
    "request as loose pieces": Edit(replace(s.CALM, loose=1.0)),
    "another wording: format": Edit(_held("format")),
    "another wording: date rule": Edit(_held("rule"), replace(BASE, rules=1)),
    "another wording: note": Edit(_held("note"), replace(BASE, notes=1)),
    "another wording: half-seven clause": Edit(_held("half"), replace(BASE, half=True)),
    "another wording: document": Edit(_held("rule", "half"), replace(BASE, docs=("both",))),
    "another wording: date description": Edit(_held("date.good"), _described(("date", "good"))),
    "another wording: misleading description": Edit(_held("date.bad"), _described(("date", "bad"))),
    "another wording: time description": Edit(_held("time.good"), _described(("time", "good"))),
    "fields reordered": Edit(program=replace(BASE, order=("time", "attendees", "date", "duration_min"))),
    "no Fields block": Edit(program=replace(BASE, fields=False)),
    "no format clause": Edit(program=replace(BASE, format="none")),
    "only today is said": Edit(system=_only_today, program=replace(BASE, fields=False, format="none")),
    "another day (Monday)": Edit(program=replace(BASE, today=0)),
    "note in capitals": Edit(
        program=replace(BASE, notes=1),
        system=lambda t, r: "\n".join(line.upper() if "next" in line else line for line in t.split("\n")),
    ),
    "five edits at once": Edit(_held("role", "before", "format", polite=0.5), system=_irrelevant(1), user=_typos(0.1)),
}
EDIT_REQUESTS = ("next Friday", "half seven", "clear")


@dataclass(frozen=True)
class Question:
    """One prompt, its right answer and the failure rate that is due."""

    prompt: str
    answer: str
    due: float
    due_without_names: float


def question(program: c.Program, draw: Draw, r: random.Random, edit: Edit) -> Question:
    request = draw(r, edit.style)
    if edit.names == "made up":
        request = replace(request, names=tuple(c.made_up_name(r) for _ in request.names))
    if edit.names == "known":  # in capitals only known names can be written back as the answer needs them
        request = replace(request, names=tuple(r.sample(s.TRAIN["name"], len(request.names))))
    system = edit.system(s.system_text(program, r, edit.style), r)
    user = edit.user(s.request_text(request, r, edit.style), r)
    prompt = c.render(c.Prompt(system, s.shots(program, r, edit.style), user))
    due = (c.failure_rate(program, request), c.failure_rate(program, request, names=False))
    return Question(prompt, c.right_answer(program, request), *due)


def lever_questions(lever: str, request: str, n: int, seed: int) -> list[Question]:
    r = random.Random(f"{seed}/{lever}/{request}")
    return [question(LEVERS[lever], REQUESTS[request], r, Edit()) for _ in range(n)]


def edit_questions(edit: str, request: str, n: int, seed: int) -> list[Question]:
    r = random.Random(f"{seed}/{edit}/{request}")
    return [question(EDITS[edit].program, REQUESTS[request], r, EDITS[edit]) for _ in range(n)]
