"""Every kind of planted cause, inside the family that a diagnosis is made for and outside it."""

from __future__ import annotations

import json
from collections.abc import Callable

from benchmarks._causes import JSON, Around, Builder, Cue, World, fields, places, third, unknown

__all__ = ["KINDS", "world"]

Make = Callable[[Builder], World]
KINDS: dict[str, tuple[bool, Make]] = {}  # whether it is inside the family, and what makes it


def world(kind: str, seed: int) -> World:
    """The world of this kind and seed: the same one every time. Raises: KeyError for an unknown kind."""
    inside, make = KINDS[kind]
    made = make(Builder(kind, seed))
    made.inside = inside
    return made


def kind(name: str, inside: bool = True) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        KINDS[name] = (inside, make)
        return make

    return keep


def planted(
    name: str,
    *wheres: str,
    need: int | None = None,
    rates: tuple[float, float] | None = None,
    inside: bool = True,
    sizes: tuple[int | None, int | None] = (None, None),
    controls: int | None = None,
    before: Callable[[Builder], object] | None = None,
    after: Callable[[Builder], object] | None = None,
) -> None:
    """A kind whose cues are phrases in parts of these places."""

    def make(b: Builder) -> World:
        b.body(*sizes)
        if before:
            before(b)
        for where in sorted(set(wheres)):
            b.plant(*b.pick(where, wheres.count(where)))
        b.when(need, *(rates or (None, None)))
        if after:
            after(b)
        return b.finish(controls)

    KINDS[name] = (inside, make)


def tools(b: Builder) -> None:
    b.world.program["tools"] = []
    for _ in range(3):
        name, (text, mark) = b.write.word(), b.write.sentence(rule=True)
        b.cue[f"tools.{name}.description"] = mark
        about = {"name": name, "description": text, "parameters": {"type": "object", "properties": {}}}
        b.world.program["tools"].append({"type": "function", "function": about})


def history(b: Builder) -> None:
    b.world.program["history"] = []
    for i in range(1, 5):
        text, b.cue[f"history.{i}"] = b.write.sentence()
        b.world.program["history"].append({"role": "user" if i % 2 else "assistant", "content": text})


def additive(b: Builder) -> None:
    low, step = b.low, b.rng.uniform(0.2, 0.3)
    b.world.law = lambda on: low + step * len(on)


planted("user", "user.")
planted("user_and", "user.", "user.")
planted("user_or", "user.", "user.", need=1)
planted("user_or_system", "user.", "system.", need=1)
planted("system", "system.")
planted("system_weak", "system.", rates=(0.10, 0.32))
planted("system_rare", "system.", rates=(0.01, 0.15))
planted("system_and_user", "system.", "user.")
planted("additive", "system.", "user.", after=additive)
planted("example", "examples.", before=Builder.examples)
planted("description", "response.", before=Builder.fields)
planted("document", "documents.", before=Builder.documents)
planted("tool", "tools.", before=tools)
planted("history", "history.", before=history)


@kind("example_order")
def example_order(b: Builder) -> World:
    b.body()
    marks = b.examples()
    last = f"examples.{b.world.program['examples'][-1]['name']}"
    ids = frozenset({"examples.order", last})
    b.world.cues = [Cue(ids, lambda body, _: places(body, marks)[-1:] == [marks[-1]])]
    b.when(low=0.10, high=0.42)
    return b.finish()


@kind("document_order")
def document_order(b: Builder) -> World:
    b.body()
    marks = b.documents()
    names = list(b.world.program["documents"])
    at = len(marks) // 2
    b.world.load_bearing.append((f"documents.{names[at]}", marks[at]))
    # What stands in the middle by its order does so by what stands around it, too: without all the others it is the
    # only one, and without the only one on a side the last or the first.
    alone = [f"documents.{names[k]}" for k in (at - 1, at + 1) if k in (0, len(names) - 1)]
    held = frozenset({"documents.order", "documents", *alone})
    b.world.cues = [Cue(held, lambda body, _: marks[at] in places(body, marks)[1:-1])]
    b.when(low=0.10, high=0.38)
    return b.finish()


@kind("field_order")
def field_order(b: Builder) -> World:
    b.body()
    names = b.fields()
    one, two = names[0], names[-1]
    ids = frozenset({"response.order"})

    def holds(body: JSON, _: Around) -> bool:
        found = list(fields(body))
        return one in found and two in found and found.index(one) < found.index(two)

    b.world.cues = [Cue(ids, holds)]
    b.when()
    return b.finish()


@kind("field_type")
def field_type(b: Builder) -> World:
    b.body()
    name = b.rng.choice(b.fields()[:-1])
    values = [b.write.word() for _ in range(4)]
    b.world.program["response"]["properties"][name]["enum"] = values
    ids = frozenset({f"response.{name}.type"})
    b.world.cues = [Cue(ids, lambda body, _: fields(body).get(name, {}).get("enum") == values)]
    b.when()
    return b.finish()


@kind("truncation")
def truncation(b: Builder) -> World:
    b.body(user=b.rng.randint(6, 12))
    b.world.program["params"]["max_tokens"] = few = b.rng.randint(20, 60)
    b.world.program["alternatives"] = {"params.max_tokens": [few * 20]}
    long = b.pick("user.")[0]
    b.world.cues = [Cue(frozenset({"params.max_tokens"}), lambda body, _: (body.get("max_tokens") or 9999) <= few * 2)]
    b.plant(long)
    b.when(low=0.02, high=0.80)
    return b.finish()


@kind("temperature")
def temperature(b: Builder) -> World:
    b.body()
    b.world.program["params"]["temperature"] = 1.5
    b.world.program["alternatives"] = {"params.temperature": [0]}
    b.world.cues = [Cue(frozenset({"params.temperature"}), lambda body, _: body.get("temperature", 1) > 0.7)]
    b.when()
    return b.finish()


@kind("model")
def model(b: Builder) -> World:
    b.body()
    name = b.world.program["model"].partition(":")[2]
    b.world.program["alternatives"] = {"model": [f"openai:{b.write.word()}"]}
    b.world.cues = [Cue(frozenset({"model"}), lambda body, _: body.get("model") == name)]
    b.when(low=0.05, high=b.rng.uniform(0.28, 0.5))
    return b.finish()


@kind("cold")
def cold(b: Builder) -> World:
    b.body()
    b.world.cues = [Cue(frozenset({"serving.cold_cache"}), lambda _, around: around.cold)]
    b.when(low=0.01, high=0.50)
    b.world.mean, b.world.between = lambda: 0.01, (0.01, 0.50)
    return b.finish()


@kind("load")
def load(b: Builder) -> World:
    b.body()
    b.world.cues = [Cue(frozenset({"serving.load"}), lambda _, around: around.in_flight >= 4)]
    b.when()
    b.world.between = (b.low, b.high)
    return b.finish()


@kind("replica")
def replica(b: Builder) -> World:
    b.body()
    one, two = b.write.word(), b.write.word()
    b.world.program["replicas"] = {x: {"headers": {"x-replica": x}} for x in (one, two)}

    def holds(_: JSON, around: Around) -> bool:
        return around.replica == two or (not around.replica and around.number % 2 == 1)

    b.world.cues = [Cue(frozenset({"serving.replica"}), holds)]
    b.when()
    b.world.mean = lambda: (b.low + b.high) / 2
    b.world.between = (b.low, b.high)
    return b.finish()


@kind("noisy_check")
def noisy_check(b: Builder) -> World:
    b.body()
    w, right = b.world, b.write.name()
    name = b.write.word()
    w.cases[0]["checks"] = [{"name": name, "python": "checks:right"}]
    w.files["checks.py"] = (
        f"import random\n\n\ndef right(text, sample):\n    return {right!r} in text and random.random() > 0.35\n"
    )
    w.passing, w.failing = [f"{right}: {b.write.sentence()[0]}" for _ in range(4)], [b.write.name()]
    w.false_fail, w.verdicts = 0.35, ("checker",)
    checker(w, name)
    w.files["person.py"] = person(right)
    return b.finish()


def checker(w: World, name: str) -> None:
    """The check is to blame; the rate may be stated as it shows or as it truly is."""
    w.cues = [Cue(frozenset({f"check.{name}"}), lambda body, _: True)]
    w.law, w.base, w.person = lambda on: 0.02, 0.02, True
    w.between = (0.02, w.seen(0.02))


def person(right: str) -> str:
    return f"import sys\n\nprint('pass' if {right!r} in sys.stdin.read() else 'fail')\n"


@kind("strict_check")
def strict_check(b: Builder) -> World:
    b.body()
    w, right, name = b.world, b.write.name(), b.write.word()
    w.cases[0]["checks"] = [{"name": name, "equals": right}]
    w.passing, w.failing = [right, right, f"{right}.", f"It is {right}."], [b.write.name()]
    w.false_fail, w.verdicts = 0.5, ("checker",)
    checker(w, name)
    w.files["person.py"] = person(right)
    return b.finish()


@kind("expectation")
def expectation(b: Builder) -> World:
    b.body()
    b.world.law, b.world.verdicts = lambda on: 1.0, ("expectation",)
    return b.finish()


def nothing(name: str, p: float, verdict: str = "bad_luck") -> None:
    def make(b: Builder) -> World:
        b.body()
        b.world.law, b.world.base, b.world.verdicts = lambda on: p, p, (verdict,)
        return b.finish()

    KINDS[name] = (True, make)


for rate in (0.08, 0.15, 0.30):
    nothing(f"none_{round(rate * 100)}", rate)
nothing("not_reproduced", 0.003, "not_reproduced")


def filler(b: Builder) -> None:
    w = b.world

    def change(p: float, body: JSON, _: Around) -> float:
        known = json.dumps([w.program, w.cases], ensure_ascii=False)
        return max(p, 0.6) if any(third(s) for s in unknown(known, body)) else p

    w.change = change


def tiny(b: Builder) -> None:
    low = b.low
    b.world.law = lambda on: low + 0.03 * len(on)
    b.world.verdicts = ("undecided", "systematic", "bad_luck")


def protects(b: Builder) -> None:
    id_ = next(i for i in sorted(b.cue) if i.startswith("system."))
    mark = b.cue[id_]
    b.world.change = lambda p, body, _: p if mark in json.dumps(body, ensure_ascii=False) else p + (1 - p) * 0.3


def flips(b: Builder) -> None:
    b.world.flips = 0.10


def odd_neutral(b: Builder) -> None:
    guilty = {i for cue in b.world.cues for i in cue.ids}
    id_ = next(i for i in sorted(b.cue) if i.startswith("system.") and i not in guilty)
    b.world.program["neutral"] = {id_: f"Never mind what was agreed {b.cue[min(guilty)]}."}


def everywhere(b: Builder) -> None:
    b.world.spread = True
    b.world.verdicts = ("systematic", "bad_luck", "undecided")


planted("filler_triggers", "user.", inside=False, after=filler)
planted("three_way", "user.", "user.", "system.", inside=False, sizes=(None, 5))
planted("many_tiny", *["system."] * 8, inside=False, sizes=(12, None), after=tiny)
planted("protective", "user.", inside=False, after=protects)
planted("flips", "user.", inside=False, after=flips)
planted("sixty_parts", "system.", inside=False, sizes=(48, 12))
planted("no_controls", "user.", inside=False, controls=0)
planted("odd_neutral", "user.", inside=False, after=odd_neutral)
planted("always", "user.", inside=False, rates=(0.05, 1.0))
planted("everywhere", "system.", inside=False, after=everywhere)
planted("single_part", "user.", inside=False, sizes=(0, 1))


@kind("drift", inside=False)
def drift(b: Builder) -> World:
    b.body()
    w = b.world
    w.law, w.base, w.verdicts = lambda on: 0.08, 0.08, ("undecided", "bad_luck")
    w.change = lambda p, _, around: p if around.number < 120 or p > 0.9 else p + 0.17
    w.between = (0.08, 0.25)
    return b.finish()


@kind("echo", inside=False)
def echo(b: Builder) -> World:
    b.body()
    b.world.law, b.world.verdicts = lambda on: 0.5, ("undecided", "systematic", "bad_luck")
    return b.finish()


@kind("raw", inside=False)
def raw(b: Builder) -> World:
    b.body()
    w = b.world
    b.plant(*b.pick("user."))
    guilty = next(iter(w.cues[0].ids))
    b.when()
    clauses = " ".join(w.program.pop("system").values())
    messages = [{"role": "system", "content": clauses}, {"role": "user", "content": " ".join(b.asked)}]
    name = w.program["model"].partition(":")[2]
    w.files["request.json"] = json.dumps({"model": name, "messages": messages, **w.program.pop("params")})
    del w.program["user"]
    w.program["raw"] = "request.json"
    w.cases[0]["input"] = {}
    # Where a stored request's parts may be counted by message, any id of that sentence counts.
    w.cues[0] = Cue(frozenset({guilty, f"raw.{guilty}", f"messages.2.{guilty[5:]}"}), w.cues[0].holds)
    return b.finish(controls=0)
