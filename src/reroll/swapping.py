"""Another name, number, time or date in a case, where its checks pin the old one down, in all places at once.

A value is changed only where it stands in the input and its image among what the checks expect, where nothing else that
is expected could follow from it, and where no value that the program or the input names lies between old and new.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from reroll.case import Case
from reroll.moments import (
    WEEKDAYS,
    Clock,
    Day,
    clocks,
    days,
    parsed_time,
    today_of,
    weekdays,
    working_days_near,
)
from reroll.paraphrase import kept
from reroll.pinned import NUMBER, WORDS, Pinned, Scalar, changed, leaves, words_replaced

__all__ = ["NAMES", "Swap", "dates_changed", "names_changed", "numbers_changed", "order_changed", "times_changed"]

NAMES = tuple(
    """Priya Kenji Fatima Mateo Ingrid Kwame Lucía Tariq Chloé Nikos Yara Sanjay Marta Jonas Aisha Pavel Leila Bruno
    Hana Emeka Sofia Wei Olga Diego Amara Lars Noor Tomás Greta Rashid Ana Ben Omar Lena Kim Eva Tom Maria Paul Ivan
    Sara Ahmed Julia David Mei Carlos Nina Peter Zoe Yusuf Anna Max Laura Ali Emma Liam""".split()
)
# What is asked of a name itself: another name has another answer.
ABOUT_NAMES = re.compile(
    r"\b(?:letters?|spell\w*|characters?|alphabet\w*|initials?|rhym\w*|syllables?|sort(?:ed|ing)?|gender|revers\w*|"
    r"anagrams?|palindromes?|vowels?|consonants?|longest|shortest|origin|translat\w*|uppercase|lowercase|capital\w*)\b",
    re.I,
)
PRONOUNS = re.compile(r"\b(?:he|she|him|her|his|hers|himself|herself)\b", re.I)
# What is asked of a number itself, or reckoned with it.
ABOUT_NUMBERS = re.compile(
    r"\b(?:prime|even|odd|digits?|divisible|square\w*|factor\w*|sum|total|average|mean|product|plus|minus|times|divided|"
    r"twice|double|half as|per|each|percent|convert\w*|round\w*|larger|smaller|bigger|greater|less than|more than)\b",
    re.I,
)
MINUTES = (15, 20, 30, 45, 60, 90, 120)
TIMES = (540, 570, 600, 660, 720, 780, 840, 900, 930, 960, 1020, 1080, 1140, 1170, 1200)


@dataclass(frozen=True, slots=True)
class Swap:
    """A case with its values changed. why: what was changed, in words."""

    case: Case
    why: str


# -- names -------------------------------------------------------------------------------------------------------------


def names_changed(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    """Every name of a person in the case by another one: first those that the project's other cases have."""
    names = _names_in(of, others)
    if not names or not of.clear or _asks_about(of, ABOUT_NAMES) or any(PRONOUNS.search(text) for text in of.texts):
        return
    taken = " ".join([*of.texts, *of.around, *(str(leaf.value) for leaf in of.leaves)])
    known = [name for name in _at_same_place(of, others, names) if " " not in name]
    pool = [name for name in dict.fromkeys([*known, *_shuffled(NAMES, of.case)]) if not _is_word(name, taken)]
    made = 0
    for first in range(len(pool)):
        if made >= most or first + len(names) > len(pool):
            return
        new = pool[first : first + len(names)]
        if sorted(names) != names or sorted(new) != new:  # a list in the order of the alphabet stays one
            new = [sorted(new)[sorted(names).index(name)] for name in names]
        pairs = dict(zip(names, new, strict=True))
        case = changed(of, words_replaced(pairs), words_replaced(pairs), names)
        if case is not None:
            made += 1
            yield Swap(case, " and ".join(f"{old} became {name}" for old, name in pairs.items()))


def order_changed(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    """Two names that are listed side by side in the other order, here and in what is expected."""
    names = _names_in(of, others)
    if len(names) < 2 or most < 1 or not of.clear or _asks_about(of, ABOUT_NAMES):
        return
    for a, b in itertools.pairwise(names):
        beside = re.compile(rf"\b{re.escape(a)}(?:, | and ){re.escape(b)}\b")
        together = [leaf for leaf in of.leaves if leaf.value in (a, b) and isinstance(leaf.path[-1], int)]
        if len(together) >= 2 and sum(len(beside.findall(text)) for text in of.texts) == 1:
            both = words_replaced({a: b, b: a})
            whole = sum(text.count(a) + text.count(b) for text in of.texts)
            case = changed(of, both, both) if whole == 2 else None
            if case is not None:
                yield Swap(case, f"{b} is named before {a}")
                return


def _names_in(of: Pinned, others: Sequence[Case]) -> list[str]:
    """Names of persons in the texts that the checks expect too; none where one may be part of a longer name."""
    expected = [str(leaf.value) for leaf in of.leaves if isinstance(leaf.value, str) and not leaf.pattern]
    around = " ".join(of.around)
    known = set(NAMES) | _persons(others)
    found: list[str] = []
    for text in of.texts:
        pieces = kept(text) if " " in text.strip() else (text.strip(),)
        for piece in dict.fromkeys(pieces):
            name = re.sub(r"['’]s$", "", piece)
            if name in found or name not in known or not any(_is_word(name, value) for value in expected):
                continue
            if _is_word(name, around) or not of.reads_english(name) or _part_of_longer(name, text, pieces):
                return []
            found.append(name)
    loose = [
        leaf
        for leaf in of.leaves
        if leaf.kind == "text" and not leaf.turned and not leaf.pattern
        and not any(_is_word(name, str(leaf.value)) for name in found)
        and not any(str(leaf.value).casefold() in text.casefold() for text in of.texts)
    ]  # fmt: skip
    return [] if loose else found


def _persons(others: Sequence[Case]) -> set[str]:
    """Single words with a capital that stand where other cases have a name that everybody knows for one."""
    by_place: dict[tuple[Any, ...], set[str]] = {}
    for case in others:
        for leaf in leaves(case):
            if isinstance(leaf.value, str) and re.fullmatch(r"[^\W\d_]+", leaf.value) and leaf.value[0].isupper():
                by_place.setdefault(_place(leaf.path), set()).add(leaf.value)
    return set[str]().union(*(values for values in by_place.values() if len(values & set(NAMES)) >= 2))


def _at_same_place(of: Pinned, others: Sequence[Case], names: Sequence[str]) -> list[str]:
    places = {_place(leaf.path) for leaf in of.leaves if leaf.value in names}
    found = [leaf.value for case in others for leaf in leaves(case) if _place(leaf.path) in places and not leaf.turned]
    return list(dict.fromkeys(value for value in found if isinstance(value, str)))


def _place(path: tuple[str | int, ...]) -> tuple[str, ...]:
    return tuple(str(step) for step in path if isinstance(step, str))


def _part_of_longer(name: str, text: str, pieces: Sequence[str]) -> bool:
    """Whether another name stands right before or after it: `Ana Silva` is one person, and known or not."""
    capital = r"[^\W\d_a-z][\w’'-]*"
    after = re.search(rf"(?<!\w){re.escape(name)} ({capital})", text)
    before = re.search(rf"({capital}\.?) {re.escape(name)}(?!\w)", text)
    return any(match and match[1].rstrip(".") in pieces for match in (after, before)) or bool(
        re.search(rf"(?:Mr|Mrs|Ms|Dr|Prof|Sir|Saint|St)\.? {re.escape(name)}\b", text)
    )


def _is_word(word: str, text: str) -> bool:
    return re.search(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", text, re.I) is not None


def _shuffled(names: Sequence[str], case: Case) -> list[str]:
    """The names in an order that belongs to the case: not every project has the same Priya."""
    return sorted(names, key=lambda name: hashlib.blake2b(f"{case.content_id} {name}".encode()).digest())


def _asks_about(of: Pinned, pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(text) for text in (*of.texts, *of.around))


# -- numbers -----------------------------------------------------------------------------------------------------------


def numbers_changed(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    """One number of the case by another, where it is said once and expected in one place."""
    if not of.clear or of.unsaid or any(leaf.pattern for leaf in of.leaves):
        return
    if any(ABOUT_NUMBERS.search(text) for text in of.texts):
        return
    said = [*_numbers_said(of.texts), *((number, str(number), "") for number in of.numbers)]
    made = 0
    for value, text, unit in said:
        places = {leaf.path for leaf in of.leaves if _holds_number(leaf.value, value)}
        if len(places) != 1 or sum(v == value for v, _, _ in said) != 1 or value in (0, 1):
            continue
        if isinstance(value, int) and 1900 <= value <= 2100 and "," not in text:
            continue  # a year, maybe
        if unit and not of.reads_english(text):
            continue
        marks = [v for v, _, _ in said if v != value] + [v for v, _, _ in _numbers_said(of.around)]
        if value in marks:
            continue
        for new in _near(value, unit, others, marks):
            spelt = _spelt(new, text)
            case = None if spelt is None else changed(of, _number_for(text, spelt, value, new), _in_checks(value, new))
            if case is not None and made < most:
                made += 1
                yield Swap(case, f"{' '.join((text, unit)).strip()} became {' '.join((str(spelt), unit)).strip()}")


def _numbers_said(texts: Sequence[str]) -> list[tuple[Scalar, str, str]]:
    """Every number in the texts with how it is written and the word after it; times and dates are none."""
    found: list[tuple[Scalar, str, str]] = []
    for text in texts:
        apart = [(one.start, one.end) for one in clocks(text)] + [(one.start, one.end) for one in days(text)]
        for match in re.finditer(rf"(?:{NUMBER.pattern}|\b(?:{'|'.join(WORDS[2:])})\b)(?=\s?(\w*))", text):
            if not any(start < match.end() and match.start() < end for start, end in apart):
                written = match.group()
                value = WORDS.index(written) if written in WORDS else _value(written)
                found.append((value, written, match[match.lastindex or 0] if match.lastindex else ""))
    return found


def _value(written: str) -> Scalar:
    plain = written.replace(",", "")
    return float(plain) if "." in plain else int(plain)


def _holds_number(value: Any, number: Scalar) -> bool:
    """Whether the expected value is this number: as JSON, or as a text of it with a sign of money or a unit at most."""
    if isinstance(value, bool) or not isinstance(value, str):
        return bool(value == number) and not isinstance(value, bool)
    match = NUMBER.search(value)
    return match is not None and _value(match.group()) == number and len(NUMBER.sub("", value).split()) <= 1


def _near(value: Scalar, unit: str, others: Sequence[Case], marks: Sequence[Scalar]) -> list[Scalar]:
    """Other numbers for it, on the same side of every number that is mentioned."""
    stem = unit.lower().rstrip("s")
    texts = [text for case in others for text in case.input.values() if isinstance(text, str)]
    pool: list[Scalar] = [v for v, _, u in _numbers_said(texts) if stem and u.lower().rstrip("s") == stem]
    if stem in ("minute", "min"):
        pool += MINUTES
    step = _step(value)
    assert not isinstance(value, str)
    pool += [value + step, value - step, value + 2 * step, value + 3 * step]
    low = max((m for m in marks if not isinstance(m, str) and m < value), default=0)
    high = min((m for m in marks if not isinstance(m, str) and m > value), default=float("inf"))
    fits = [
        new for new in dict.fromkeys(pool) if not isinstance(new, str) and new not in (value, 1) and low < new < high
    ]
    return [round(new, 6) if isinstance(new, float) else new for new in fits]


def _step(value: Scalar) -> int:
    if isinstance(value, float | str):
        return 1
    step = 1
    while value and value % (step * 10) == 0:
        step *= 10
    return 5 * step if value % (step * 5) == 0 and value > 5 * step else step


def _spelt(new: Scalar, like: str) -> str | None:
    """The number written as the old one was: in words, with commas, with as many decimals."""
    if like in WORDS:
        return WORDS[new] if isinstance(new, int) and 2 <= new < len(WORDS) else None
    decimals = len(like.partition(".")[2])
    if isinstance(new, float) and new != int(new) and not decimals:
        return None
    return f"{new:,.{decimals}f}" if "," in like else f"{new:.{decimals}f}"


def _number_for(text: str, spelt: str, value: Scalar, new: Scalar) -> Callable[[Scalar], Scalar]:
    pattern = re.compile(rf"(?<![\w.,:/-]){re.escape(text)}(?![\w:/-]|[.,]\d)")

    def one(found: Scalar) -> Scalar:
        if isinstance(found, str):
            return pattern.sub(spelt, found)
        return new if found == value else found

    return one


def _in_checks(value: Scalar, new: Scalar) -> Callable[[Scalar], Scalar]:
    def one(found: Scalar) -> Scalar:
        if not _holds_number(found, value):
            return found
        return NUMBER.sub(lambda m: _spelt(new, m.group()) or m.group(), found) if isinstance(found, str) else new

    return one


# -- times and dates ---------------------------------------------------------------------------------------------------


def times_changed(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    """The time of day by another one, where only one is said and what is expected holds it."""
    said = [(text, clock) for text in of.texts for clock in clocks(text)]
    if len(said) != 1 or not of.clear or of.unsaid & {"time", "text", "truth"} or _patterns(of):
        return
    text, clock = said[0]
    places = {leaf.path: str(leaf.value) for leaf in of.leaves if _is_time(leaf.value, clock)}
    if len(places) != 1 or not of.reads_english(clock.text):
        return
    before = parsed_time(next(iter(places.values())))
    assert before is not None
    marks = [m for line in of.around for one in clocks(line) for m in one.readings]
    known = [parsed_time(str(leaf.value)) for case in others for leaf in leaves(case) if leaf.path in places]
    pool = dict.fromkeys([*sorted({t for t in known if t is not None}), *TIMES, before - 60, before + 60])
    made = 0
    for after in sorted(pool, key=lambda t: abs(t - before)):
        written = clock.as_of(before, after)
        apart = any(min(before, after) <= mark <= max(before, after) for mark in marks)
        if after == before or written is None or apart or not 420 <= after <= 1290 or made >= most:
            continue
        case = changed(of, _at(text, clock, written), _time_for(before, after))
        if case is not None:
            made += 1
            yield Swap(case, f"“{clock.text}” became “{written}”, {_hm(before)} became {_hm(after)}")


def dates_changed(of: Pinned, others: Sequence[Case], most: int) -> Iterator[Swap]:
    """The date by a nearby one, where only one is said: written out, or as a day of a week that is known."""
    if not of.clear or of.unsaid & {"date", "text", "truth"} or _patterns(of):
        return
    wanted = {leaf.path: leaf.value for leaf in of.leaves if leaf.kind == "date"}
    if len(wanted) != 1:
        return
    ((day, *_),) = [days(str(value)) for value in wanted.values()]
    if day.year is None:
        return
    before = date(day.year, day.month, day.day)
    for made, (text, old, written, after) in enumerate(_other_days(of, before)):
        if made >= most:
            return
        case = changed(of, _at(text, old, written), _date_for(before, after))
        if case is not None:
            yield Swap(case, f"“{old.text}” became “{written}”, {before} became {after}")


def _other_days(of: Pinned, before: date) -> Iterator[tuple[str, Any, str, date]]:
    """For each other day: the text, what stands for the old one there, what will, and the day."""
    said = [(text, day) for text in of.texts for day in days(text)]
    named = [(text, weekdays(text)) for text in of.texts]
    today = today_of([*of.around, *of.texts])
    if any(found is None for _, found in named):
        return
    by_name = [(text, one) for text, found in named for one in found or ()]
    if len(said) == 1 and not by_name and said[0][1].is_(before) and of.reads_english(said[0][1].text):
        marks = [date(d.year, d.month, d.day) for line in of.around for d in days(line) if d.year]
        for after in working_days_near(before):
            written = said[0][1].as_of(after)
            if written and not any(min(before, after) <= mark <= max(before, after) for mark in marks):
                yield (*said[0], written, after)
    if len(by_name) == 1 and not said and today is not None and of.reads_english(by_name[0][1].text):
        text, one = by_name[0]
        weeks = before.isocalendar().week - today.isocalendar().week
        if one.number != before.weekday() or weeks != (one.how == "next") or not today.weekday() < one.number < 5:
            return
        for number in range(today.weekday() + 1, 5):
            if number != one.number:
                name = WEEKDAYS[number] if one.text[0].isupper() else WEEKDAYS[number].lower()
                yield text, one, name, date.fromordinal(before.toordinal() + number - one.number)


def _at(text: str, old: Clock | Day | Any, written: str) -> Callable[[Scalar], Scalar]:
    """This one place of this one text said otherwise."""
    new = f"{text[: old.start]}{written}{text[old.end :]}"
    return lambda found: new if found == text else found


def _time_for(before: int, after: int) -> Callable[[Scalar], Scalar]:
    def one(found: Scalar) -> Scalar:
        if not isinstance(found, str) or parsed_time(found) != before:
            return found
        return re.sub(rf"{before // 60:02d}:{before % 60:02d}", _hm(after), found, count=1)

    return one


def _date_for(before: date, after: date) -> Callable[[Scalar], Scalar]:
    def one(found: Scalar) -> Scalar:
        same = [day for day in days(found) if day.is_(before)] if isinstance(found, str) else []
        if len(same) != 1 or not isinstance(found, str):
            return found
        return f"{found[: same[0].start]}{same[0].as_of(after) or same[0].text}{found[same[0].end :]}"

    return one


def _is_time(value: Any, clock: Clock) -> bool:
    return isinstance(value, str) and parsed_time(value) in clock.readings


def _patterns(of: Pinned) -> bool:
    return any(leaf.pattern for leaf in of.leaves)


def _hm(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
