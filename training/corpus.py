"""Meeting requests whose mistakes have probabilities known by construction.

A prompt is (Program, Request). `mistakes` gives the probability of each mistake, `answer_parts` the
exact distribution of every piece of the answer, and everything else follows from these two: the
training data, the failure rate that is due (`failure_rate`) and the calibration tables. Mistakes in
different fields are independent, so the failure rate is one minus a product.
"""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
FIELDS = ("date", "time", "duration_min", "attendees")
MONDAY = datetime.date(2026, 11, 16)
HOUR_WORDS = {5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
CHATTER = "Sure! Here is the JSON: "

Part = tuple[str, list[tuple[str, float, bool]]]  # (field, [(text, probability, is it right)])


@dataclass(frozen=True)
class Program:
    """Everything in the prompt that can change the chance of a mistake; wording is not part of it."""

    today: int | None = 2  # index into DAYS, Monday to Thursday; None: the prompt does not say
    format: str = "once"  # none | weak ("Reply in JSON.") | once | twice
    rules: int = 0  # plain statements of what "next Friday" means
    notes: int = 0  # contrastive ones: "not this Friday but ..."
    half: bool = False  # a clause about "half seven"
    docs: tuple[str, ...] = ()  # date | half | both | noise
    fields: bool = True  # is the answer's shape described at all
    typed: tuple[str, ...] = FIELDS  # fields whose type is given
    described: tuple[tuple[str, str], ...] = ()  # (field, good | bad | plain)
    order: tuple[str, ...] = FIELDS
    shots: tuple[str, ...] = ()  # plain | covering | stale | oldformat | half | short

    def description(self, name: str) -> str | None:
        return dict(self.described).get(name) if self.fields else None


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    date_kind: str = "next"  # next | nextweek | on | tomorrow | today | iso | none
    day: int = 4  # weekday; for iso the number of days after Monday 2026-11-16
    time_kind: str = "clock"  # clock | noon | half | halfpast | none
    hour: int = 15
    minute: int = 0
    length_kind: str = "said"  # said | unsaid | hourhalf
    minutes: int = 60
    names: tuple[str, ...] = ("Ana",)
    awkward: bool = False
    ramble: int = 0  # sentences that have nothing to do with the request


# --- the constructed truth --------------------------------------------------------------------------

# Effects on the log-odds of reading "next Friday" as this Friday; base rate 0.33.
NEXT_BASE = 0.33
DATE_EFFECTS = {
    "rules": (-1.6, -2.6),
    "notes": (-2.2, -3.2),
    "doc": (-1.5, -1.5),
    "good": (-2.4, -2.4),
    "bad": (1.9, 1.9),
    "covering": (-2.0, -2.8),
    "stale": (1.9, 2.5),
}
# Effects on the log-odds of reading "half seven" as 18:30; base rate 0.60.
HALF_BASE = 0.60
HALF_EFFECTS = {"clause": -2.6, "doc": -1.8, "good": -2.2, "bad": 1.3, "shot": -1.8}
CHAT = {"none": (0.15, 0.02), "weak": (0.08, 0.015), "once": (0.006, 0.004), "twice": (0.002, 0.002)}
NAME_BASE = {0: 0.0, 1: 0.001, 2: 0.01, 3: 0.04}
WRONG_LENGTH = {15: 30, 30: 60, 45: 40, 60: 30, 90: 60}


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _strength(name: str, count: int) -> float:
    return 0.0 if count == 0 else DATE_EFFECTS[name][min(count, 2) - 1]


def is_ambiguous(program: Program, request: Request) -> bool:
    """Has "next DAY" two readings? Only if that day still comes this week."""
    return request.date_kind == "next" and request.day > (program.today or 0)


def _date_mistake(program: Program, request: Request) -> float:
    covering = program.shots.count("covering")
    if is_ambiguous(program, request):
        x = logit(NEXT_BASE) + _strength("rules", program.rules) + _strength("notes", program.notes)
        x += _strength("doc", sum(d in ("date", "both") for d in program.docs))
        x += _strength("covering", covering) + _strength("stale", program.shots.count("stale"))
        x += _strength(program.description("date") or "", int(program.description("date") in ("good", "bad")))
        return min(max(sigmoid(x), 0.008), 0.93)
    if request.date_kind == "on":  # an example of "next Friday" is copied a little too eagerly
        return 0.03 if covering else 0.002
    return {"next": 0.008, "nextweek": 0.006, "none": 0.008}.get(request.date_kind, 0.002)


def _half_mistake(program: Program) -> float:
    x = logit(HALF_BASE) + (HALF_EFFECTS["clause"] if program.half else 0)
    x += HALF_EFFECTS["doc"] if any(d in ("half", "both") for d in program.docs) else 0
    x += HALF_EFFECTS.get(program.description("time") or "", 0)
    x += HALF_EFFECTS["shot"] if "half" in program.shots else 0
    return min(max(sigmoid(x), 0.01), 0.93)


def _length_mistake(program: Program, request: Request) -> float:
    p = {"said": 0.002, "unsaid": 0.008, "hourhalf": 0.10}[request.length_kind]
    if program.description("duration_min") == "good":
        p *= 0.4
    return p + (0.05 if program.notes else 0)  # the note that cures the date hurts here


def _pull_to_30(program: Program, request: Request) -> float:
    """Chance that 30 is written because the prompt suggests it, whatever was asked."""
    unsaid = request.length_kind == "unsaid"
    keep = 1.0
    if len(program.shots) >= 2 and set(program.shots) == {"short"}:
        keep *= 0.5 if unsaid else 0.75
    if program.description("duration_min") == "bad":
        keep *= 0.4 if unsaid else 0.9
    return 1 - keep


def _type_mistake(program: Program) -> float:
    if program.fields and "duration_min" in program.typed:
        return 0.001
    if program.shots:
        return 0.004
    return 0.02 if program.description("duration_min") == "good" else 0.08


def rambling(request: Request) -> float:
    """0 for at most one irrelevant sentence, 1 from four on."""
    return min(max((request.ramble - 1) / 3, 0.0), 1.0)


def _old_format(program: Program) -> float:
    if "oldformat" not in program.shots:
        return 0.0
    return 0.45 if set(program.shots) == {"oldformat"} else 0.2


def mistakes(program: Program, request: Request) -> dict[str, float]:
    """The probability of each independent mistake for this prompt."""
    names = NAME_BASE[len(request.names)] * (0.3 if program.description("attendees") == "good" else 1)
    time = {"half": _half_mistake(program), "halfpast": 0.008, "none": 0.008}.get(request.time_kind, 0.002)
    p = {
        "date": _date_mistake(program, request),
        "time": time,
        "length": _length_mistake(program, request),
        "names": names,
    }
    shift = (0.5 if program.shots else 1.1) if request.awkward else 0.0
    crowd = rambling(request)
    push = {
        "date": shift + 0.7 * crowd,
        "time": shift + 0.7 * crowd,
        "length": shift + 0.7 * crowd,
        "names": shift + 3.2 * crowd,
    }
    p = {k: sigmoid(logit(v) + push[k]) if v else 0.0 for k, v in p.items()}
    p["chat"] = CHAT[program.format][bool(program.shots)]
    p["type"] = _type_mistake(program)
    p["pull"] = _pull_to_30(program, request) if request.minutes != 30 else 0.0
    p["old_format"] = _old_format(program)
    first_only = program.description("attendees") == "bad" and len(request.names) > 1
    p["first_only"] = 0.5 if first_only else 0.0
    return p


def facts(program: Program, request: Request) -> list[float]:
    """What the prompt and the request say, and how probable each mistake is: numbers from 0 to 1."""

    def which(value: object, among: Sequence[object]) -> list[float]:
        return [float(value == one) for one in among]

    found = which(program.today, range(4)) + which(program.format, ("none", "weak", "once", "twice"))
    for times_said in (program.rules, program.notes):
        found += [float(times_said >= 1), float(times_said >= 2)]
    found += [float(program.half), float(program.fields), float("duration_min" in program.typed and program.fields)]
    found += [float(any(d in (kind, "both") for d in program.docs)) for kind in ("date", "half")]
    found += [float(program.description(name) == kind) for name in FIELDS for kind in ("good", "bad")]
    found += [float(kind in program.shots) for kind in ("plain", "covering", "stale", "oldformat", "half", "short")]
    found += [float(bool(program.shots)), float(is_ambiguous(program, request)), float(request.awkward)]
    found += [float(request.ramble >= n) for n in (1, 2, 3, 4)]
    found += which(request.date_kind, ("next", "nextweek", "on", "tomorrow", "iso", "today", "none"))
    found += which(request.time_kind, ("clock", "noon", "half", "halfpast", "none"))
    found += which(request.length_kind, ("said", "unsaid", "hourhalf"))
    found += which(len(request.names), range(4)) + which(request.day, range(5))
    return found + list(mistakes(program, request).values())


def iso(offset: int) -> str:
    return (MONDAY + datetime.timedelta(days=offset)).isoformat()


def _old_style(day: str) -> str:
    year, month, number = day.split("-")
    return f"{number}/{month}/{year}"


def dates(program: Program, request: Request) -> tuple[str, str]:
    """(right, wrong) ISO dates. Without a date in the prompt the model takes today to be Monday."""
    today, day, kind = program.today or 0, request.day, request.date_kind
    if kind == "iso":
        return iso(day), iso(day + 1)
    if kind in ("tomorrow", "today", "none"):
        offset = today + (kind == "tomorrow")
        return iso(offset), iso(offset + 1)
    later = day > today  # does that weekday still come this week?
    if kind == "on":
        return (iso(day), iso(day + 7)) if later else (iso(day + 7), iso(day + 14))
    return iso(day + 7), iso(day if later else day + 14)


def times(request: Request) -> tuple[str, str]:
    """(right, wrong) clock times."""
    h, m = request.hour, request.minute
    if request.time_kind == "half":
        return f"{h + 12}:30", f"{h + 11}:30"
    if request.time_kind == "halfpast":
        return f"{h + 12}:30", f"{h + 12}:00"
    if request.time_kind == "none":
        return "09:00", "10:00"
    return f"{h:02d}:{m:02d}", f"{h:02d}:{(m + 30) % 60:02d}"


def _date_part(program: Program, request: Request, p: dict[str, float]) -> list[tuple[str, float, bool]]:
    right, wrong = dates(program, request)
    q, old = p["date"], p["old_format"]
    alternatives = [(right, (1 - q) * (1 - old), True), (wrong, q * (1 - old), False)]
    if old:
        alternatives += [(_old_style(right), (1 - q) * old, False), (_old_style(wrong), q * old, False)]
    return alternatives


def _length_part(request: Request, p: dict[str, float]) -> list[tuple[str, float, bool]]:
    right = request.minutes
    rest = 1 - p["pull"]
    values: dict[int, float] = {right: rest * (1 - p["length"])}
    for value, chance in ((WRONG_LENGTH[right], rest * p["length"]), (30, p["pull"])):
        if chance:
            values[value] = values.get(value, 0) + chance
    number = [(str(v), c * (1 - p["type"]), v == right) for v, c in values.items()]
    words = [(f'"{v} minutes"', c * p["type"], False) for v, c in values.items()]
    return number + words


def _names_part(request: Request, p: dict[str, float]) -> list[tuple[str, float, bool]]:
    def written(names: Sequence[str]) -> str:
        return ",".join(f'"{n}"' for n in names)

    keep = 1 - p["first_only"]
    chances = {written(request.names): keep * (1 - p["names"])}
    for text, chance in (
        (written(request.names[:-1]), keep * p["names"]),
        (written(request.names[:1]), p["first_only"]),
    ):
        if chance:
            chances[text] = chances.get(text, 0) + chance
    return [(f"[{text}]", chance, text == written(request.names)) for text, chance in chances.items()]


def answer_parts(program: Program, request: Request, order: Sequence[str] = FIELDS) -> list[Part]:
    """The answer as pieces in writing order, each with its exact distribution.

    Left to itself the model writes the keys in the order of FIELDS, whatever the order in the prompt; another
    `order` is what a server's JSON schema can force on it.
    """
    p = mistakes(program, request)
    right, wrong = times(request)
    values = {
        "date": [(f'"{t}"', c, ok) for t, c, ok in _date_part(program, request, p)],
        "time": [(f'"{right}"', 1 - p["time"], True), (f'"{wrong}"', p["time"], False)],
        "duration_min": _length_part(request, p),
        "attendees": _names_part(request, p),
    }
    parts: list[Part] = [("chat", [("", 1 - p["chat"], True), (CHATTER, p["chat"], False)])]
    for i, name in enumerate(order):
        parts.append(("", [(("," if i else "{") + f'"{name}":', 1.0, True)]))
        parts.append((name, values[name]))
    parts.append(("", [("}", 1.0, True)]))
    return parts


def right_answer(program: Program, request: Request) -> str:
    return "".join(
        next(text for text, _, ok in alternatives if ok) for _, alternatives in answer_parts(program, request)
    )


def failure_rate(program: Program, request: Request, names: bool = True) -> float:
    """The constructed chance that anything in the answer is wrong; anything but the names if not `names`."""
    ok = 1.0
    for part, alternatives in answer_parts(program, request):
        if part == "attendees" and not names:
            continue
        ok *= sum(p for _, p, good in alternatives if good)
    return 1 - ok


# --- drawing programs and requests -------------------------------------------------------------------


def _maybe(r: random.Random, p: float, then: tuple[str, ...]) -> tuple[str, ...]:
    return then if r.random() < p else ()


def _draw_described(r: random.Random, p: float) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f, r.choices(("good", "bad", "plain"), (4, 5, 2) if f in ("date", "time") else (4, 3, 2))[0])
        for f in FIELDS
        if r.random() < p
    )


SHOT_SETS = [
    ("plain",), ("plain",), ("plain", "plain"), ("covering",), ("covering",), ("covering",), ("covering",),
    ("covering", "plain"), ("plain", "covering"), ("stale",), ("stale",), ("stale",), ("stale",), ("stale", "plain"),
    ("plain", "stale"), ("stale", "covering"), ("oldformat",), ("oldformat", "plain"), ("half",),
    ("short",), ("short", "short"), ("short", "short", "short"), ("short", "short", "short"),
]  # fmt: skip


def draw_program(r: random.Random) -> Program:
    """Two thirds of the draws stay within two levers of the example project's program, the rest roam."""
    near = r.random() < 0.65
    p = 0.10 if near else 0.22
    fields = r.random() < (0.93 if near else 0.72)
    typed = FIELDS if r.random() < (0.85 if near else 0.4) else tuple(f for f in FIELDS if r.random() < 0.35)
    order = FIELDS if r.random() < (0.85 if near else 0.7) else tuple(r.sample(FIELDS, 4))
    described_chance = r.choice((0.0, 0.3, 0.6)) if near else r.choice((0.0, 0.4, 0.9))
    return Program(
        today=None if r.random() < 0.03 else r.choices(range(4), (1, 1, 2 if near else 1, 1))[0],
        format=r.choices(("once", "none", "weak", "twice"), (8, 1, 0.6, 0.8) if near else (3, 3, 1.2, 1.2))[0],
        rules=r.choices((0, 1, 2), (1 - p, p * 0.7, p * 0.3))[0],
        notes=r.choices((0, 1, 2), (1 - p, p * 0.7, p * 0.3))[0],
        half=r.random() < p,
        docs=_maybe(r, p * 0.8, (r.choice(("date", "half", "both")),)) + _maybe(r, p * 0.8, ("noise",)),
        fields=fields,
        typed=typed,
        described=_draw_described(r, described_chance),
        order=order if fields else FIELDS,
        shots=_maybe(r, 0.4 if near else 0.5, r.choice(SHOT_SETS)),
    )


KNOWN_SHARE = 0.75  # of the names in a request; the others are made up


def made_up_name(r: random.Random) -> str:
    """A name nobody has, so that copying is learnt and not a list."""
    ends = ("", "", "n", "r", "s", "l", "t", "x", "ck", "nd")
    syllables = [
        r.choice("b br c ch d dr f g gr h j k kl l m n p pr qu r s sh st t th tr v w y z".split())
        + r.choice("aeiou")
        + (r.choice("aeiouyh") if r.random() < 0.12 else "")
        for _ in range(r.choice((1, 2, 2, 3)))
    ]
    name = "".join(syllables) + r.choice(ends)
    return (name[1:] if r.random() < 0.15 and len(name) > 4 else name).capitalize()


def draw_names(r: random.Random, known: Sequence[str], count: int, known_share: float = KNOWN_SHARE) -> tuple[str, ...]:
    names: list[str] = []
    while len(names) < count:
        name = r.choice(known) if r.random() < known_share else made_up_name(r)
        if len(name) > 1 and name not in names:
            names.append(name)
    return tuple(names)


def draw_request(
    r: random.Random, today: int | None, known: Sequence[str], known_share: float = KNOWN_SHARE
) -> Request:
    now = today or 0
    kind = r.choices(("next", "on", "tomorrow", "nextweek", "iso", "today", "none"), (16, 5, 1.5, 0.8, 0.6, 0.5, 0.5))[
        0
    ]
    day = r.randrange(now + 1, 5) if r.random() < 0.85 else r.randrange(5)
    if kind == "on" and day == now:
        day = now + 1  # "on Wednesday", said on a Wednesday, has no agreed meaning
    if kind == "iso":
        day = r.randrange(15)
    time = r.choices(("clock", "half", "noon", "halfpast", "none"), (9, 7, 2, 1.2, 0.5))[0]
    hour = (
        r.choice((5, 6, 7, 7, 8, 9)) if time in ("half", "halfpast") else 12 if time == "noon" else r.randrange(8, 20)
    )
    length = r.choices(("said", "unsaid", "hourhalf"), (6, 4, 1.5))[0]
    return Request(
        date_kind=kind,
        day=day,
        time_kind=time,
        hour=hour,
        minute=r.choices((0, 30, 15, 45), (6, 2, 1, 1))[0] if time == "clock" else 0,
        length_kind=length,
        minutes={"said": r.choice((15, 30, 30, 45, 45, 60, 60, 90)), "unsaid": 60, "hourhalf": 90}[length],
        names=draw_names(r, known, r.choices((1, 2, 3, 0), (7, 5, 3, 0.4))[0], known_share),
        awkward=r.random() < 0.27,
        ramble=r.choices(range(6), (66, 10, 5, 5, 8, 6))[0],
    )


def shot_request(
    r: random.Random, kind: str, today: int | None, known: Sequence[str], lengths: Sequence[int]
) -> Request:
    """The request inside an example: always plainly worded."""
    now = today or 0
    request = replace(
        draw_request(r, today, known), awkward=False, ramble=0, names=draw_names(r, known, r.choice((1, 1, 2)))
    )
    if request.time_kind in ("half", "none"):
        request = replace(request, time_kind="clock", hour=r.randrange(8, 20))
    if request.date_kind not in ("on", "tomorrow", "iso"):
        request = replace(request, date_kind="on", day=r.randrange(now + 1, 5))
    if kind in ("covering", "stale"):
        request = replace(request, date_kind="next", day=r.randrange(now + 1, 5))
    if kind == "half":
        request = replace(request, time_kind="half", hour=r.choice((5, 6, 7, 8, 9)))
    return replace(request, length_kind="said", minutes=30 if kind == "short" else r.choice(lengths))


def shot_answer(program: Program, kind: str, request: Request) -> str:
    """What the example shows: right, except in the two bad kinds."""
    plain = Program(today=program.today)
    answer = right_answer(plain, request)
    right, wrong = dates(plain, request)
    if kind == "stale":
        return answer.replace(right, wrong)
    return answer.replace(right, _old_style(right)) if kind == "oldformat" else answer


@dataclass(frozen=True)
class Prompt:
    """A program and a request as text."""

    system: str
    shots: tuple[tuple[str, str], ...] = field(default=())
    user: str = ""


def system_message(
    clauses: Sequence[str],
    documents: Sequence[tuple[str, str]] = (),
    fields: Sequence[tuple[str, str | None, str | None]] | None = None,
) -> str:
    """The system message as reroll renders it: clauses, (name, text) documents, (name, type, description) fields."""
    lines = [*clauses, *(f"Document {name}: {text}" for name, text in documents)]
    if fields is not None:
        lines.append("Fields:")
        for name, kind, described in fields:
            lines.append(f"- {name}" + (f" ({kind})" if kind else "") + (f": {described}" if described else ""))
    return "\n".join(lines)


def render_head(prompt: Prompt) -> str:
    """Everything before the real request."""
    shots = "".join(f"{render_user(user)}{answer}<|end|>\n" for user, answer in prompt.shots)
    return f"<|system|>{prompt.system}<|end|>\n{shots}"


def render_user(user: str) -> str:
    return f"<|user|>{user}<|end|>\n<|assistant|>"


def render(prompt: Prompt) -> str:
    """The exact text the server's chat template makes."""
    return render_head(prompt) + render_user(prompt.user)
