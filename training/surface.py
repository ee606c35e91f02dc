"""Programs and requests as text: wording, noise, typos, capitals, politeness. None of it changes what is due."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from training import corpus as c
from training.wordings import FILLERS, HELD, TRAIN, WORDS

FILLER_WORDS = tuple(word for filler in FILLERS for word in filler.split())
KNOWN_NAMES = frozenset(TRAIN["name"])
SHORT_DAYS = {"Monday": "Mon", "Tuesday": "Tue", "Wednesday": "Wed", "Thursday": "Thu", "Friday": "Fri"}
LENGTHS = {
    15: ("15 minutes", "15 min", "a quarter of an hour"),
    30: ("30 minutes", "30 min", "half an hour", "30 mins"),
    45: ("45 minutes", "45 min", "45 mins"),
    60: ("60 minutes", "60 min", "an hour", "one hour", "1 hour"),
    90: ("90 minutes", "90 min"),
}
TYPES = {
    "date": ("string, date", "string"),
    "time": ("string", "string", "string, time"),
    "duration_min": ("integer", "integer", "integer", "one of 15, 30, 45, 60, 90"),
    "attendees": ("array of string",),
}
DOC_NAMES = ("policy", "handbook", "glossary", "faq", "guide", "wiki", "rules", "notes", "manual", "office", "calendar")
# Words that carry the meaning of a clause: `shake` leaves them alone.
KEY_WORDS = re.compile(
    r"json|next|week|not?\b|n't|never|this|follow|after|half|mean|only|nothing|prose|other|words?|text|"
    r"first|nearest|closest|coming|all|every|each|\d|day\b|before|past|rather|outside|alone|"
    r"explan|greet|chatter|comment|around|five|six|seven|eight|nine|today|date|now|is\b",
    re.I,
)


@dataclass(frozen=True)
class Style:
    """How freely the text is varied. Numbers are probabilities."""

    canonical: float = 0.3  # use the first wording of a kind
    held: frozenset[str] = frozenset()  # kinds whose wording comes from the held-out lists
    role: float = 0.8  # is there a role clause at all
    noise: float = 0.35  # irrelevant system sentences (up to three)
    shake: float = 0.15  # replace, drop or misspell an unimportant word of a clause
    shuffle: float = 0.25  # clauses out of their usual order
    capitals: float = 0.18  # request in capitals, lower or title case
    clause_capitals: float = 0.08
    typos: float = 0.2  # request with misspelt words
    polite: float = 0.3  # greeting before, thanks after (each)
    gibberish: float = 0.1  # unknown words at those places
    detail: float = 0.15  # "about the green bridge"
    loose: float = 0.12  # request as loose pieces in any order


CALM = Style(
    canonical=1.0,
    role=1.0,
    noise=0,
    shake=0,
    shuffle=0,
    capitals=0,
    clause_capitals=0,
    typos=0,
    polite=0,
    gibberish=0,
    detail=0,
    loose=0,
)


def pick(kind: str, r: random.Random, style: Style) -> str:
    """One wording; templates and the like have no canonical one, so they are drawn evenly."""
    if kind in style.held:
        return r.choice(HELD[kind])
    return TRAIN[kind][0] if r.random() < style.canonical else r.choice(TRAIN[kind])


def known_names(style: Style) -> list[str]:
    return HELD["name"] if "name" in style.held else TRAIN["name"]


# --- noise -------------------------------------------------------------------------------------------


def nonsense_word(r: random.Random) -> str:
    return "".join(
        r.choice("bcdfghjklmnprstvwyz") + r.choice("aeiou") + r.choice(("", "", "n", "r", "s", "t"))
        for _ in range(r.randrange(1, 4))
    )


def gibberish(r: random.Random, count: int) -> str:
    """Common words and made-up ones, which the model must learn to ignore."""
    return " ".join(r.choice(WORDS) if r.random() < 0.8 else nonsense_word(r) for _ in range(count))


def nonsense_sentence(r: random.Random) -> str:
    return gibberish(r, r.randrange(3, 10)).capitalize() + r.choice((".", ".", ".", "!", "?"))


def misspell(word: str, r: random.Random) -> str:
    """One slip of the finger."""
    i = r.randrange(len(word))
    slip = r.randrange(4)
    if slip == 0 and i + 1 < len(word):
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if slip == 1 and len(word) > 3:
        return word[:i] + word[i + 1 :]
    if slip == 2:
        return word[:i] + word[i] + word[i:]
    return word[:i] + r.choice("abcdefghijklmnoprstuvwxyz") + word[i + 1 :]


def misspell_some(text: str, r: random.Random, rate: float, spare: tuple[str, ...]) -> str:
    """Misspells words of three letters or more, never names or numbers."""

    def maybe(match: re.Match[str]) -> str:
        word = match.group()
        return word if word in spare or r.random() >= rate else misspell(word, r)

    return re.sub(r"[A-Za-z]{3,}", maybe, text)


def shake(text: str, r: random.Random) -> str:
    """Changes one or two words that do not carry the meaning."""
    words = text.split(" ")
    for _ in range(r.choice((1, 1, 2))):
        i = r.randrange(len(words))
        if len(words) < 4 or KEY_WORDS.search(words[i]):
            continue
        slip = r.random()
        if slip < 0.4:
            words[i] = gibberish(r, 1)
        elif slip < 0.7:
            words[i] = gibberish(r, 1) + " " + words[i]
        elif slip < 0.85 and re.fullmatch(r"[A-Za-z]{3,}", words[i]):
            words[i] = misspell(words[i], r)
        else:
            del words[i]
    return " ".join(words)


# --- the system message ------------------------------------------------------------------------------


def _fill(text: str, r: random.Random) -> str:
    """Puts a weekday or an hour where the wording has a place for one."""
    hour = r.choice((7, 7, 5, 6, 8, 9))
    day = "Friday" if r.random() < 0.5 else r.choice(c.DAYS)
    filled = text.replace("{D}", day).replace("{H}", c.HOUR_WORDS[hour])
    return filled.replace("{GOOD}", f"{hour + 12}:30").replace("{BAD}", f"{hour + 11}:30")


def clause(kind: str, r: random.Random, style: Style) -> str:
    text = pick(kind, r, style)
    if r.random() < style.canonical and kind not in style.held:
        text = (
            text.replace("{D}", "Friday").replace("{H}", "seven").replace("{GOOD}", "19:30").replace("{BAD}", "18:30")
        )
    text = _fill(text, r)
    return shake(text, r) if r.random() < style.shake else text


def today_clause(today: int, r: random.Random, style: Style) -> str:
    return pick("today", r, style).replace("{DAY}", c.DAYS[today]).replace("{ISO}", c.iso(today))


def _noise_clause(r: random.Random, style: Style) -> str:
    return clause("noise", r, style) if "noise" in style.held or r.random() < 0.5 else nonsense_sentence(r)


def clauses(program: c.Program, r: random.Random, style: Style) -> list[str]:
    lines = [clause("role", r, style)] if r.random() < style.role else []
    lines += [today_clause(program.today, r, style)] if program.today is not None else []
    lines += [clause("weak_format", r, style)] if program.format == "weak" else []
    lines += [clause("format", r, style)] if program.format in ("once", "twice") else []
    extra = [clause("rule", r, style) for _ in range(program.rules)]
    extra += [clause("note", r, style) for _ in range(program.notes)]
    extra += [clause("half", r, style)] if program.half else []
    extra += [lines[-1] if r.random() < 0.4 else clause("format", r, style)] if program.format == "twice" else []
    for _ in range(3):
        if r.random() < style.noise / 2:
            extra.insert(r.randrange(len(extra) + 1), _noise_clause(r, style))
    lines += extra
    if r.random() < style.shuffle:
        r.shuffle(lines)
    return [_case(line, r) if r.random() < style.clause_capitals else line for line in lines]


def _case(text: str, r: random.Random) -> str:
    return text.upper() if r.random() < 0.4 else text.lower()


def document(kind: str, r: random.Random, style: Style) -> tuple[str, str]:
    """(name, text)"""
    name = "policy" if r.random() < style.canonical else r.choice((*DOC_NAMES, nonsense_word(r)))
    kinds = {"date": ["rule"], "half": ["half"], "both": ["rule", "half"], "noise": ["doc_noise"]}[kind]
    texts = [clause(k, r, style) for k in kinds]
    if r.random() < style.noise / 2:
        texts.insert(r.randrange(len(texts) + 1), _noise_clause(r, style))
    return name, " ".join(texts)


def fields(program: c.Program, r: random.Random, style: Style) -> list[tuple[str, str | None, str | None]]:
    """(name, type, description) in the program's order."""
    made: list[tuple[str, str | None, str | None]] = []
    for name in program.order:
        kind = TYPES[name][0] if r.random() < style.canonical else r.choice(TYPES[name])
        described = program.description(name)
        made.append(
            (
                name,
                kind if name in program.typed else None,
                clause(f"{name}.{described}", r, style) if described else None,
            )
        )
    return made


def system_text(program: c.Program, r: random.Random, style: Style) -> str:
    lines = clauses(program, r, style)
    if lines and r.random() < style.shuffle / 2:
        lines = [" ".join(lines)]
    documents = [document(d, r, style) for d in program.docs]
    return c.system_message(lines, documents, fields(program, r, style) if program.fields else None)


# --- the request -------------------------------------------------------------------------------------


def _date_words(request: c.Request, r: random.Random) -> str:
    if request.date_kind in ("tomorrow", "today"):
        return request.date_kind
    if request.date_kind in ("iso", "none"):
        return f"on {c.iso(request.day)}" if request.date_kind == "iso" else ""
    day = c.DAYS[request.day]
    if r.random() < 0.05:
        day = SHORT_DAYS[day]
    if request.date_kind == "nextweek":
        return r.choice((f"on {day} next week", f"on {day} of next week", f"next week on {day}", f"{day} next week"))
    if request.date_kind == "on":
        return r.choice((f"on {day}", f"on {day}", f"on {day}", f"this {day}", f"{day}", f"this coming {day}"))
    return r.choice((f"next {day}", f"next {day}", f"next {day}", f"next {day}", f"on next {day}", f"for next {day}"))


def _clock_words(hour: int, minute: int, r: random.Random) -> str:
    full = f"{hour}:{minute:02d}" if hour < 10 and r.random() < 0.5 else f"{hour:02d}:{minute:02d}"
    if hour == 12 or r.random() < 0.65:
        return full
    short = str((hour - 1) % 12 + 1) + (f":{minute:02d}" if minute else "")
    return short + r.choice(("", " ")) + ("pm" if hour >= 12 else "am")


def _time_words(request: c.Request, r: random.Random) -> str:
    if request.time_kind == "none":
        return ""
    if request.time_kind == "noon":
        return r.choice(("at noon", "at noon", "noon", "at midday"))
    if request.time_kind in ("half", "halfpast"):
        return ("at half past " if request.time_kind == "halfpast" else "at half ") + c.HOUR_WORDS[request.hour]
    return r.choice(("at ", "at ", "at ", "")) + _clock_words(request.hour, request.minute, r)


def _length_words(request: c.Request, r: random.Random) -> str:
    if request.length_kind == "unsaid":
        return ""
    said = "an hour and a half" if request.length_kind == "hourhalf" else r.choice(LENGTHS[request.minutes])
    return r.choice((" for ", " for ", " for ", ", ")) + said


def _who(names: tuple[str, ...], r: random.Random) -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + r.choice((" and ", " and ", " & ", ", and ")) + names[-1]


def _details(r: random.Random) -> str:
    thing = gibberish(r, r.choice((1, 2)))
    return r.choice((" about the ", " about ", " regarding ", " in the ", " at the ")) + thing


def _loose_pieces(slots: dict[str, str], r: random.Random) -> str:
    who = f"{r.choice(('with ', 'with ', 'w/ '))}{slots['who']}" if slots["who"] else ""
    pieces = [slots["act"], who, slots["date"], slots["time"], slots["for"].lstrip(" ,")]
    if who and r.random() < 0.6:
        pieces[:2] = [f"{slots['act']} {who}"]
    pieces = [p for p in pieces if p]
    r.shuffle(pieces)
    return r.choice((", ", ", ", " ", " - ", "; ")).join(pieces)


def _assembled(request: c.Request, r: random.Random, style: Style) -> str:
    act, a_act = pick("act", r, Style(canonical=0.05, held=style.held)).split(";")
    detail = _details(r) if r.random() < style.detail else ""
    slots = {
        "act": act + detail,
        "a_act": a_act + detail,
        "date": _date_words(request, r),
        "time": _time_words(request, r),
        "for": _length_words(request, r),
        "who": _who(request.names, r),
    }
    if r.random() < style.loose:
        text = _loose_pieces(slots, r)
    else:
        template = pick("template", r, Style(canonical=0.06, held=style.held))
        if not request.names:
            template = r.choice(
                ("{act} {date} {time}{for}", "Book {a_act} {date} {time}{for}.", "{date} {time}: {act}{for}")
            )
        text = template.format(**slots)
    text = re.sub(r" +", " ", text).replace(" ,", ",").replace(" .", ".").strip(" ,:;-")
    return text[0].upper() + text[1:]


def _awkward(text: str, r: random.Random) -> str:
    """At least two fillers: this one does change what is due, through `Request.awkward`."""
    words = (text if r.random() < 0.3 else text[0].lower() + text[1:]).rstrip(".?!").split(" ")
    for _ in range(r.choice((2, 2, 3, 4))):
        words.insert(r.randrange(len(words) + 1), r.choice(FILLERS) + r.choice(("", "", "", ",", "??", "...")))
    return " ".join(words)


def _sentence(r: random.Random, style: Style) -> str:
    return (
        nonsense_sentence(r)
        if "ramble" not in style.held and r.random() < 0.4
        else pick("ramble", r, Style(0.0, style.held))
    )


def _with_rambling(text: str, count: int, r: random.Random, style: Style) -> str:
    if count and text[-1] not in ".?!":
        text += "."
    sentences = [_sentence(r, style) for _ in range(count)]
    sentences.insert(r.randrange(count + 1), text)
    return " ".join(sentences)


def _polite(text: str, r: random.Random, style: Style) -> str:
    if r.random() < style.polite:
        before = pick("before", r, Style(0.0, style.held))
        if r.random() < style.gibberish and "before" not in style.held:
            before = gibberish(r, r.randrange(1, 4)).capitalize() + r.choice((", ", ": ", " ", ". ", "! "))
        text = before + (text if before.endswith((". ", "! ")) or r.random() < 0.4 else text[0].lower() + text[1:])
    if r.random() < style.polite:
        after = pick("after", r, Style(0.0, style.held))
        if r.random() < style.gibberish and "after" not in style.held:
            after = r.choice((" ", ". ", ", ")) + gibberish(r, r.randrange(1, 5)) + r.choice(("", "!", "."))
        text += ("." if text[-1].isalnum() and r.random() < 0.5 else "") + after
    return text


def _recased(text: str, names: tuple[str, ...], r: random.Random) -> str:
    """In capitals, lower or title case; names that nobody knows keep theirs.

    A made-up name in capitals falls into quite other tokens than the answer needs. Learning to respell it took
    a third of all gradient and was not learnt.
    """
    text = r.choice((str.upper, str.lower, str.lower, str.title))(text)
    for name in names:
        if name not in KNOWN_NAMES:
            text = re.sub(rf"\b{name}\b", name, text, flags=re.IGNORECASE)
    return text


def request_text(request: c.Request, r: random.Random, style: Style) -> str:
    text = _assembled(request, r, style)
    if request.awkward:
        text = _awkward(text, r)
    text = _polite(_with_rambling(text, request.ramble, r, style), r, style)
    if r.random() < style.typos:
        spare = request.names + (FILLER_WORDS if request.awkward else ())  # a misspelt filler would hide a cause
        text = misspell_some(text, r, r.choice((0.08, 0.2, 0.35)), spare)
    return _recased(text, request.names, r) if r.random() < style.capitals else text


# --- whole prompts -----------------------------------------------------------------------------------


def shots(program: c.Program, r: random.Random, style: Style) -> tuple[tuple[str, str], ...]:
    """The examples as (request, answer)."""
    lengths = r.sample((15, 30, 45, 60, 90), len(program.shots) + 1)
    made = []
    quiet = Style(held=style.held, polite=0.1, typos=0.03, capitals=0.03, detail=0.1, loose=0.08, gibberish=0.05)
    for i, kind in enumerate(program.shots):
        request = c.shot_request(r, kind, program.today, known_names(style), lengths[i : i + 1])
        made.append((request_text(request, r, quiet), c.shot_answer(program, kind, request)))
    return tuple(made)


def head(program: c.Program, r: random.Random, style: Style) -> str:
    """System message and examples, as text."""
    return c.render_head(c.Prompt(system_text(program, r, style), shots(program, r, style)))
