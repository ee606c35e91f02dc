"""Worlds with a planted cause: a project, and a simulator that knows the failure rate of every request exactly."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks._causes_text import Writer

__all__ = ["Around", "Builder", "Cue", "World", "fields", "places", "texts", "third", "unknown"]

JSON = Any


@dataclass(frozen=True)
class Around:
    """What a server knows beside the body."""

    in_flight: int = 1
    cold: bool = False
    replica: str = ""
    number: int = 0  # calls before this one


@dataclass(frozen=True)
class Cue:
    """One condition for failure; naming any id of `ids` names it."""

    ids: frozenset[str]
    holds: Callable[[JSON, Around], bool]


@dataclass
class World:
    """`law` gives p(fail) from the numbers of the cues that hold; `verdicts` are right, the first one best."""

    kind: str
    seed: int
    program: dict[str, JSON] = field(default_factory=dict)
    cases: list[dict[str, JSON]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    cues: list[Cue] = field(default_factory=list)
    law: Callable[[frozenset[int]], float] = lambda on: 0.0
    base: float = 0.02
    verdicts: tuple[str, ...] = ("systematic",)
    also: frozenset[str] = frozenset()  # ids that may be named beside the cues
    load_bearing: list[tuple[str, str]] = field(default_factory=list)  # id, phrase
    easy: list[str] = field(default_factory=list)  # first sentences of control cases
    passing: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)
    person: bool = False
    flips: float = 0.0
    false_fail: float = 0.0  # share of right answers that the check fails
    change: Callable[[float, JSON, Around], float] | None = None  # what lies outside the family
    spread: bool = False  # control cases fail for the same cause
    mean: Callable[[], float] | None = None  # rate where circumstances vary by themselves
    between: tuple[float, float] | None = None
    parts: int = 0
    inside: bool = True  # in the family that a diagnosis is made for

    def on(self, body: JSON, around: Around = Around()) -> frozenset[int]:
        return frozenset(i for i, cue in enumerate(self.cues) if cue.holds(body, around))

    def fails(self, body: JSON, around: Around = Around()) -> float:
        """p(the check fails | request), exact, the check's own errors included."""
        said = "\n".join(texts(body))
        if any(phrase not in said for _, phrase in self.load_bearing):
            p = 0.95
        elif not self.spread and any(first in said for first in self.easy):
            p = self.base
        else:
            p = self.law(self.on(body, around))
        if self.change:
            p = self.change(p, body, around)
        return p + self.flips * (1 - 2 * p)

    def seen(self, p: float) -> float:
        """The failure rate that the check shows where the model fails at p."""
        return p + self.false_fail * (1 - p)

    def without(self, named: frozenset[str]) -> float:
        """p(fail) of the reported case once the named factors are taken out; innocent ones change nothing."""
        on = frozenset(i for i, cue in enumerate(self.cues) if not cue.ids & named)
        p = self.law(on)
        p += self.flips * (1 - 2 * p)
        checked = any(name.startswith("check.") for name in named)
        return p if checked else self.seen(p)

    @property
    def rate(self) -> float:
        return self.mean() if self.mean else self.without(frozenset())


def texts(value: JSON) -> list[str]:
    """Every text in a request, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [t for k, v in value.items() for t in (k, *texts(v))]
    return [t for v in value for t in texts(v)] if isinstance(value, list | tuple) else []


def phrase(phrase: str, *ids: str) -> Cue:
    return Cue(frozenset(ids), lambda body, _: any(phrase in t for t in texts(body)))


def fields(body: JSON) -> dict[str, JSON]:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    found: dict[str, JSON] = schema.get("properties", {})
    return found


def places(body: JSON, marks: list[str]) -> list[str]:
    """The marks that are there, in the order of the request."""
    said = "\n".join(texts(body.get("messages", [])))
    return sorted((m for m in marks if m in said), key=said.index)


class Builder:
    """A program of random size with several cases; `plant` methods return the phrases that can be cues."""

    def __init__(self, kind: str, seed: int) -> None:
        self.rng = random.Random(f"{kind}/{seed}")
        self.write = Writer(self.rng)
        self.world = World(kind, seed, base=round(self.rng.uniform(0.01, 0.05), 3))
        self.low, self.high = round(self.rng.uniform(0.02, 0.09), 3), round(self.rng.uniform(0.45, 0.7), 3)
        self.cue: dict[str, str] = {}  # part id -> phrase inside it

    def body(self, system: int | None = None, user: int | None = None) -> None:
        rng, write, w = self.rng, self.write, self.world
        clauses = {}
        for _ in range(rng.randint(4, 18) if system is None else system):
            name = write.word()
            clauses[name], self.cue[f"system.{name}"] = write.sentence(rule=True)
        asked = []
        for i in range(1, (rng.randint(2, 12) if user is None else user) + 1):
            text, self.cue[f"user.{i}"] = write.sentence()
            asked.append(text)
        self.asked = asked
        w.program = {
            "program": write.word(),
            "model": f"openai:{write.word()}",
            "effects": "none",
            "params": {"temperature": 1, "max_tokens": rng.randint(200, 600)},
            "user": "{request}",
        }
        if clauses:
            w.program["system"] = clauses
        w.cases = [{"id": "reported", "input": {"request": " ".join(asked)}}]

    def pick(self, where: str, n: int = 1) -> list[str]:
        return self.rng.sample(sorted(i for i in self.cue if i.startswith(where)), n)

    def plant(self, *ids: str) -> None:
        self.world.cues += [phrase(self.cue[i], i) for i in ids]

    def when(self, need: int | None = None, low: float | None = None, high: float | None = None) -> None:
        """Fails at high where `need` of the cues hold (all, by default), else at low."""
        need = len(self.world.cues) if need is None else need
        low, high = self.low if low is None else low, self.high if high is None else high
        self.world.law = lambda on: high if len(on) >= need else low

    def examples(self) -> list[str]:
        made, marks = [], []
        for _ in range(self.rng.randint(3, 6)):
            (asked, mark), name = self.write.sentence(), self.write.word()
            made.append({"name": name, "user": asked, "assistant": self.write.sentence()[0]})
            self.cue[f"examples.{name}"] = mark
            marks.append(mark)
        self.world.program["examples"] = made
        return marks

    def documents(self) -> list[str]:
        made, marks = {}, []
        for _ in range(self.rng.randint(3, 7)):
            text, mark = self.write.sentence()
            name = self.write.word()
            made[name] = text + " " + self.write.sentence()[0]
            self.cue[f"documents.{name}"] = mark
            marks.append(mark)
        self.world.program["documents"] = made
        return marks

    def fields(self) -> list[str]:
        made = {}
        for _ in range(self.rng.randint(3, 7)):
            name = self.write.word()
            text, mark = self.write.sentence(rule=True)
            made[name] = {"type": "string", "description": text}
            self.cue[f"response.{name}.description"] = mark
        names = list(made)
        self.world.program["response"] = {
            "type": "object",
            "properties": made,
            "required": names,
            "additionalProperties": False,
        }
        return names

    def finish(self, controls: int | None = None) -> World:
        rng, w = self.rng, self.world
        guilty = {i for cue in w.cues for i in cue.ids}
        free = [i for i in self.cue if i.startswith("system.") and i not in guilty]
        if w.kind not in ("echo", "raw") and len(free) > 4:
            w.load_bearing += [(i, self.cue[i]) for i in rng.sample(sorted(free), rng.randint(1, 3))]
        if not w.passing:
            self.checks()
        checks = w.cases[0]["checks"]
        for i in range(rng.randint(6, 12) if controls is None else controls):
            said = [self.write.sentence()[0] for _ in range(rng.randint(1, 4))]
            w.easy.append(said[0])
            w.cases.append(
                {"id": f"usual-{i}", "input": {"request": " ".join(said)}, "set": "control", "checks": checks}
            )
        w.parts = len(self.cue)
        return w

    def checks(self) -> None:
        """A check of a random kind, and answers that it passes and fails."""
        rng, w, write = self.rng, self.world, self.write
        right, wrong, tail = write.name(), write.name(), [write.sentence()[0] for _ in range(4)]
        name = write.word()
        names = list(w.program.get("response", {}).get("properties", {}))
        if names:
            rest = {n: rng.choice(tail) for n in names}
            w.passing = [json.dumps({**rest, names[-1]: right})]
            w.failing = [json.dumps({**rest, names[-1]: wrong})]
            check: dict[str, JSON] = {"json": {names[-1]: right}}
        else:
            way = rng.choice(["contains", "equals", "json", "matches", "schema", "python"])
            w.passing, w.failing = [f"{right}: {t}" for t in tail], [f"{wrong}: {t}" for t in tail]
            check = {"contains": right}
            if way == "equals":
                w.passing, w.failing, check = [right], [wrong, tail[0]], {"equals": right}
            elif way in ("json", "schema"):
                w.passing, w.failing = [json.dumps({name: right, "n": 3})], [json.dumps({name: None, "n": 3}), tail[0]]
                schema = {"type": "object", "required": [name], "properties": {name: {"type": "string"}}}
                check = {"json": {name: right}} if way == "json" else {"schema": schema}
            elif way == "matches":
                check = {"matches": f"^{right}:"}
            elif way == "python":
                check = {"python": "checks:right"}
                w.files["checks.py"] = f"def right(text, sample):\n    return {right!r} in text\n"
        w.cases[0]["checks"] = [{"name": name, **check}]


def unknown(known: str, body: JSON) -> list[str]:
    """Sentences of the messages that the program does not hold."""
    said = [s for t in texts(body.get("messages", [])) for s in re.split(r"(?<=[.!?])\s+|\n", t)]
    return [s for s in said if len(s) > 9 and s not in known]


def third(text: str) -> bool:
    """Whether this text is one of a third of all texts."""
    return hashlib.blake2b(text.encode(), digest_size=4).digest()[0] % 3 == 0
