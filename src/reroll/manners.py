"""A case's request in another manner, its right answer untouched: words, order, length, format, habits of a place.

Words around a request are changed only where they are a request: where the program's user message is this one text, and
neither it nor the program is about the text itself (translate this, count that). All else gets typography at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from reroll.fillers import STOCKS
from reroll.moments import MONTHS, WEEKDAYS, clocks, days, parsed_time
from reroll.paraphrase import IMPERATIVES, english, paraphrases
from reroll.pinned import Pinned
from reroll.program import PLACEHOLDER
from reroll.swapping import Swap

__all__ = ["formats", "lengths", "locales", "orders", "registers", "two_in_one", "wordings"]

# What works on a text itself: any other text is another question.
ON_TEXT = re.compile(
    r"\b(?:translat\w*|summari[sz]\w*|classif\w*|sentiment|tone|correct(?:s|ion)?|proofread\w*|rewrit\w*|reword\w*|"
    r"paraphras\w*|count\w*|spell\w*|transcri\w*|repeat\w*|echo\w*|quot\w*|shorten\w*|continu\w*|complet\w*|categor\w*|"
    r"label\w*|score\w*|rate\w*|grade\w*|grammar\w*|typos?|languages?|words? for word|verbatim|encod\w*|decod\w*|"
    r"revers\w*|uppercase|lowercase|letters?|characters?|words? (?:in|of|are)|sentences?)\b",
    re.I,
)
REQUESTS = frozenset({"request", "question", "message", "prompt", "query", "instruction", "user", "input"})
REGISTER = ("spoken", "plain")
ORDER = ("order",)
FORMAT = ("stop", "case")
AMERICAN = {
    "organise": "organize", "organised": "organized", "organising": "organizing", "colour": "color", "centre": "center",
    "favourite": "favorite", "cancelled": "canceled", "apologise": "apologize", "recognise": "recognize",
    "neighbour": "neighbor", "theatre": "theater", "catalogue": "catalog", "grey": "gray", "travelling": "traveling",
    "prioritise": "prioritize", "finalise": "finalize", "realise": "realize", "honour": "honor", "labour": "labor",
}  # fmt: skip
IDLE = (
    "Also, there is no need to call me back.",
    "And no rush with this one.",
    "Also, please do not worry about my last message.",
)
FORMAL = "I should be grateful if you would take care of the following."
MAKES = ("book", "arrange", "schedule", "plan", "organise", "organize", "reserve")
WHEN = rf"(?:(?:on|next|this) (?:{'|'.join(WEEKDAYS)})|tomorrow|today)(?: at \S+(?: \S+)?)?"
ENDS_WITH_WHEN = re.compile(rf"^(?P<what>.+?) (?P<when>{WHEN})(?P<stop>[.!?]?)$", re.I)
CLAUSES = re.compile(
    r"[,;:]|\b(?:that|to|who|which|because|if|when|before|after|since|until|about|from|and then|but|or|not)\b", re.I
)


def wordings(of: Pinned, most: int) -> Iterator[Swap]:
    """Other words by the fixed rules of `reroll.paraphrase`, manners apart that belong to other kinds."""
    yield from _by_rule(of, lambda kind: kind not in (*REGISTER, *ORDER, *FORMAT), most)


def registers(of: Pinned, most: int) -> Iterator[Swap]:
    """As it is spoken, with or without fillers, and as a formal letter has it."""
    yield from _by_rule(of, REGISTER.__contains__, most)
    if (found := _request(of)) is not None and most > 0 and found[1].strip():
        key, text = found
        yield _with(of, key, f"{FORMAL} {text.strip()}", "a formal sentence before it")


def orders(of: Pinned, most: int) -> Iterator[Swap]:
    """Independent sentences in another order, or the time that ends a plain request before it."""
    yield from _by_rule(of, ORDER.__contains__, most)
    if (found := _request(of)) is None or most < 1:
        return
    key, text = found
    match = ENDS_WITH_WHEN.match(text.strip())
    first = text.split()[0].lower() if text.split() else ""
    plain = first in MAKES or first not in IMPERATIVES
    if match is None or not plain or CLAUSES.search(match["what"]) or " with " not in f" {match['what']} ":
        return
    what, when = match["what"], match["when"]
    said = f"{when[0].upper()}{when[1:]}, {what[0].lower()}{what[1:]}{match['stop']}"
    yield _with(of, key, said, "the time comes first")


def lengths(of: Pinned, most: int) -> Iterator[Swap]:
    """One sentence or a few around it that say nothing that could be done or used."""
    if (found := _request(of)) is None:
        return
    key, text = found
    body = text.strip()
    end = "" if body[-1:] in ".!?" else "."
    first, second, third = STOCKS["request"]
    ways = (
        (f"{second[0]} {body}", "a sentence before it"),
        (f"{body}{end} {second[2]}", "a sentence after it"),
        (f"{third[0]} {third[1]} {body}{end} {first[0]} {second[1]}", "four sentences around it"),
    )
    for said, why in ways[:most]:
        yield _with(
            of,
            key,
            said,
            f"{why} that says nothing to the matter" if "four" not in why else f"{why} that say nothing to the matter",
        )


def two_in_one(of: Pinned, most: int) -> Iterator[Swap]:
    """A second, idle wish beside the request: it asks for nothing in the answer.

    Two wishes that both need an answer have another right answer, which only a person can write.
    """
    if (found := _request(of)) is None or of.case.history or of.program.history:
        return
    key, text = found
    body = text.strip()
    end = "" if body[-1:] in ".!?" else "."
    for wish in IDLE[:most]:
        yield _with(of, key, f"{body}{end} {wish}", f"a second, idle wish behind it: “{wish}”")


def locales(of: Pinned, most: int) -> Iterator[Swap]:
    """The same moment, amount or word as it is written elsewhere; not where the answer must repeat it as it is."""
    made = 0
    for key in of.case.input:
        text = of.case.input[key]
        if key not in of.seen or not isinstance(text, str) or not english(text):
            continue
        for said, why in _elsewhere(text):
            if made < most and not _repeated(of, text, said):
                made += 1
                yield _with(of, key, said, why)


def formats(of: Pinned, most: int) -> Iterator[Swap]:
    """Typography: the last full stop, the first letter, a line break at the end, the layout of nested data."""
    made = 0
    for swap in [*_by_rule(of, FORMAT.__contains__, most), *_layouts(of)]:
        if made < most:
            made += 1
            yield swap


# -- what they are made of ---------------------------------------------------------------------------------------------


def _request(of: Pinned) -> tuple[str, str] | None:
    """The input that is the request itself, and its English text; None where there is no such one."""
    found = _sole_text(of)
    if found is None:
        return None
    text = found[1]
    about_text = ON_TEXT.search(text) or any(ON_TEXT.search(_outside_schema(line)) for line in of.around)
    return found if text.strip() and english(text) and not about_text and not _is_data(text) else None


def _sole_text(of: Pinned) -> tuple[str, str] | None:
    """The one text that the user message is; of a product, the one that is called a request."""
    keys = [key for key in of.case.input if key in of.seen and isinstance(of.case.input[key], str)]
    if len(keys) != 1:
        return None
    template = of.program.user.strip()
    alone = keys[0] in REQUESTS if of.program.is_product else PLACEHOLDER.fullmatch(template) is not None
    return (keys[0], str(of.case.input[keys[0]])) if alone else None


def _outside_schema(line: str) -> str:
    """What a program says in words: field names and types are none."""
    return re.sub(r"(?m)^Fields:$|^- .*$", "", "" if line.startswith("{") else line)


def _is_data(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return "```" in text


def _by_rule(of: Pinned, wanted: Callable[[str], bool], most: int) -> Iterator[Swap]:
    found = _request(of)
    typography = _sole_text(of) if found is None and wanted("stop") else None
    if (found or typography) is None:
        return
    key, text = found or typography or ("", "")
    made = 0
    for one in paraphrases(text):
        about = ON_TEXT.search(text) or (found is None and one.kind != "stop")
        if made < most and wanted(one.kind) and not about:
            made += 1
            yield _with(of, key, one.text, RULES[one.kind])


RULES = {
    "polite": "a please set or taken away",
    "question": "asked instead of told, or told instead of asked",
    "close": "thanks at the end",
    "spoken": "as it is spoken, with fillers",
    "plain": "without fillers",
    "synonyms": "another phrase of the same meaning",
    "contracted": "contracted (do not: don't)",
    "expanded": "spelt out (don't: do not)",
    "stop": "its last full stop set or taken away",
    "case": "its first letter small or large",
    "greeting": "a greeting before it",
    "order": "its last sentence first",
}


def _with(of: Pinned, key: str, value: Any, why: str) -> Swap:
    return Swap(of.case.model_copy(update={"input": {**of.case.input, key: value}}), why)


def _elsewhere(text: str) -> Iterator[tuple[str, str]]:
    for clock in clocks(text):
        if len(clock.readings) != 1 or clock.style == "spoken":
            continue
        minutes = clock.readings[0]
        hour, minute = divmod(minutes, 60)
        if minutes < 60 or (hour == 12 and clock.style == "digits"):  # 12 am and 12 pm are read in two ways
            continue
        if clock.style != "digits":
            new = f"{hour:02d}:{minute:02d}"
        else:
            new = f"{(hour + 11) % 12 + 1}{f':{minute:02d}' if minute else ''} {'pm' if hour >= 12 else 'am'}"
        yield f"{text[: clock.start]}{new}{text[clock.end :]}", f"“{clock.text}” is written “{new}”"
    for day in days(text):
        if day.year is None:
            continue
        iso = f"{day.year}-{day.month:02d}-{day.day:02d}"
        new = _long_date(day.year, day.month, day.day) if day.text == iso else iso
        yield f"{text[: day.start]}{new}{text[day.end :]}", f"“{day.text}” is written “{new}”"
    for match in re.finditer(r"(?<![\d.,])(?:€\s?(\d{1,3}\.\d\d)|(\d{1,3}\.\d\d)\s?€)(?![\d.,])", text):
        new = match.group().replace(".", ",")
        yield f"{text[: match.start()]}{new}{text[match.end() :]}", f"“{match.group()}” is written “{new}”"
    for british, american in AMERICAN.items():
        for old, new in ((british, american), (american, british)):
            said = re.sub(rf"\b{old}\b", new, text)
            if said != text:
                yield said, f"“{old}” is spelt “{new}”"


def _long_date(year: int, month: int, day: int) -> str:
    return f"{day} {MONTHS[month - 1]} {year}"


def _repeated(of: Pinned, text: str, said: str) -> bool:
    """Whether what was rewritten may have to stand in the answer as it stood in the text."""
    gone = set(re.findall(r"[\w:.,-]+", text)) - set(re.findall(r"[\w:.,-]+", said))
    for leaf in of.leaves:
        value = str(leaf.value)
        normal = leaf.path[0] in ("json", "tool_call") and (parsed_time(value) is not None or leaf.kind == "date")
        if leaf.pattern or (not normal and any(word and word in value for word in gone)):
            return True
    return not of.clear


def _layouts(of: Pinned) -> Iterator[Swap]:
    found = _sole_text(of)
    if found is not None and found[1].strip() and not found[1].endswith("\n"):
        yield _with(of, found[0], f"{found[1]}\n", "a line break at its end")
    for key, value in of.case.input.items():
        if key not in of.seen or of.program.is_product:
            continue
        if isinstance(value, str) and _is_data(value) and "```" not in value:
            data = json.loads(value)
            for said, why in (
                (json.dumps(data, ensure_ascii=False, indent=2), "its data laid out over several lines"),
                (json.dumps(data, ensure_ascii=False, separators=(",", ":")), "its data without blanks"),
            ):
                if said != value and json.loads(said) == data:
                    yield _with(of, key, said, why)
