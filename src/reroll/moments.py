"""Times of day and dates as English texts write them: found, read, and written again in the same style."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

__all__ = [
    "ANY_WEEKDAY",
    "MONTHS",
    "WEEKDAYS",
    "Clock",
    "Day",
    "WeekdaySaid",
    "clocks",
    "days",
    "parsed_time",
    "today_of",
    "weekdays",
    "working_days_near",
]

DAY = 1440  # minutes
NOON = 720
HOURS = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(calendar.month_name)[1:]

TIME = re.compile(
    rf"""
    (?<![\w:.,/-])(?:
      (?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?P<s>:00)?(?P<gap>\s?)(?P<half>[ap]\.?m\b\.?)?
    | (?P<h2>1[0-2]|[1-9])(?P<gap2>\s?)(?P<half2>[ap]\.?m\b\.?)
    | (?P<noon>noon|midday)
    | (?P<to>half\ past|quarter\ past|quarter\ to|half)\s(?P<word>{"|".join(HOURS)})
    | (?P<word2>{"|".join(HOURS)})(?P<clock>\so['’]clock)
    )(?![\w:])
    """,
    re.X | re.I,
)
SPOKEN = {"half past": (30,), "quarter past": (15,), "quarter to": (-15,), "half": (30, -30)}
WHOLE_TIME = re.compile(r"(?:T|\d\d\d\d-\d\d-\d\d[T ])?([01]\d|2[0-3]):([0-5]\d)(?::00)?Z?")


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day in a text. readings: the minutes since midnight that it may mean."""

    start: int
    end: int
    text: str
    style: Literal["digits", "half", "noon", "spoken"]
    readings: tuple[int, ...]

    def as_of(self, before: int, after: int) -> str | None:
        """Another time in the same style, where it means `after` as surely as this one means `before`; None: it cannot.

        >>> [one.as_of(900, 990) for one in clocks("at 15:00, 3 pm, three o'clock")]
        ['16:30', '4:30 pm', None]
        """
        if before not in self.readings or not 0 < after < DAY:
            return None
        if self.style == "noon":
            return f"{after // 60:02d}:{after % 60:02d}"
        if self.style == "spoken":
            return self._spoken(after - before)
        match = TIME.fullmatch(self.text)
        assert match is not None
        if self.style == "half":
            if (before < NOON) != (after < NOON):
                return None
            gap, half = match["gap"] or match["gap2"] or "", match["half"] or match["half2"]
            minutes = f":{after % 60:02d}" if match["m"] or after % 60 else ""
            return f"{(after // 60 + 11) % 12 + 1}{minutes}{gap}{half}"
        if len(self.readings) > 1:
            if (before < NOON) != (after < NOON) or after % NOON < 60:
                return None
            after -= NOON if after >= NOON and before != self.readings[0] else 0
            if before == self.readings[0] and after >= NOON:
                return None
        wide = len(match["h"]) > 1
        return f"{after // 60:02d}:{after % 60:02d}" if wide else f"{after // 60}:{after % 60:02d}"

    def _spoken(self, shift: int) -> str | None:
        match = TIME.fullmatch(self.text)
        assert match is not None
        word = match["word"] or match["word2"]
        hour = HOURS.index(word.lower()) + shift // 60
        # Whether morning or evening is meant is told by the rest of the text: not far from it, it still is.
        if shift % 60 or abs(shift) > 120 or not 1 <= hour <= 11 or word.lower() == "twelve":
            return None
        said = HOURS[hour].capitalize() if word[0].isupper() else HOURS[hour]
        return self.text.replace(word, said)


def clocks(text: str) -> list[Clock]:
    """Every time of day in the text, in its order.

    >>> [(one.text, one.readings) for one in clocks("Dinner at half seven, not 9:30 or noon")]
    [('half seven', (450, 1170, 390, 1110)), ('9:30', (570, 1290)), ('noon', (720,))]
    """
    return [_clock(match) for match in TIME.finditer(text)]


def _clock(match: re.Match[str]) -> Clock:
    def made(style: Literal["digits", "half", "noon", "spoken"], *readings: int) -> Clock:
        return Clock(match.start(), match.end(), match.group(), style, tuple(r % DAY for r in readings))

    if match["noon"]:
        return made("noon", NOON)
    if match["word"] or match["word2"]:
        hour = HOURS.index((match["word"] or match["word2"]).lower()) * 60
        offsets = SPOKEN[match["to"].lower()] if match["to"] else (0,)
        return made("spoken", *(hour + offset + half for offset in offsets for half in (0, NOON)))
    hour, minute = int(match["h"] or match["h2"]), int(match["m"] or 0)
    half = match["half"] or match["half2"]
    if half and hour <= 12:
        return made("half", hour % 12 * 60 + minute + (NOON if half[0].lower() == "p" else 0))
    if half or hour >= 12 or (match["h"] or "").startswith("0"):
        return made("digits", hour * 60 + minute)
    return made("digits", hour * 60 + minute, hour * 60 + minute + NOON)


def parsed_time(value: str) -> int | None:
    """The minutes since midnight of a text that is a time, or a date with one; else None.

    >>> parsed_time("19:30"), parsed_time("2026-11-27T09:05:00"), parsed_time("half seven")
    (1170, 545, None)
    """
    match = WHOLE_TIME.fullmatch(value.strip())
    return int(match[1]) * 60 + int(match[2]) if match else None


# -- dates -------------------------------------------------------------------------------------------------------------

MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS)
DATE = re.compile(
    rf"""
    (?<![\w/.-])(?:
      (?P<iso>\d{{4}}-\d\d-\d\d)
    | (?P<d>\d{{1,2}})(?P<th>st|nd|rd|th)?\ (?P<month>{MONTH})(?:\ (?P<y>\d{{4}}))?
    | (?P<month2>{MONTH})\ (?P<d2>\d{{1,2}})(?P<th2>st|nd|rd|th)?(?:,?\ (?P<y2>\d{{4}}))?
    | (?P<d3>1[3-9]|2\d|3[01])(?P<sep>[/.])(?P<m3>0?[1-9]|1[0-2])(?P=sep)(?P<y3>\d{{4}})
    )(?![\w/-])
    """,
    re.X,
)
NAMED = re.compile(
    rf"\b(?P<how>next|this|on|by|before|until|coming)\s(?P<day>{'|'.join(WEEKDAYS)})\b"
    r"(?!\s(?:week|after|or|to|and|through|until)\b|\s?[-–,]\s?\d)",
    re.I,
)
ANY_WEEKDAY = re.compile(rf"\b(?:{'|'.join(day[:3] for day in WEEKDAYS)})(?:[a-z]*day)?s?\b", re.I)
TODAY = re.compile(r"\btoday\b[^\n]{0,40}?(\d{4}-\d\d-\d\d)", re.I)


@dataclass(frozen=True, slots=True)
class Day:
    """A date written out in a text. year: None where it is left to the reader."""

    start: int
    end: int
    text: str
    year: int | None
    month: int
    day: int

    def is_(self, when: date) -> bool:
        return (self.month, self.day) == (when.month, when.day) and self.year in (None, when.year)

    def as_of(self, when: date) -> str | None:
        """Another date of the same month and year in the same style; None where it would be read otherwise.

        >>> [day.as_of(date(2026, 11, 24)) for day in days("2026-11-27 is 27 November, Nov 27th or 27/11/2026")]
        ['2026-11-24', '24 November', 'Nov 24th', '24/11/2026']
        """
        match = DATE.fullmatch(self.text)
        assert match is not None
        if when.month != self.month or (self.year is not None and when.year != self.year):
            return None
        if match["iso"]:
            return when.isoformat()
        if match["d3"]:
            return f"{when.day}{self.text[len(match['d3']) :]}" if when.day > 12 else None
        name = "d" if match["d"] else "d2"
        suffix = _suffix(when.day) if match["th"] or match["th2"] else ""
        end = match.end("th" if name == "d" else "th2") if suffix else match.end(name)
        return f"{self.text[: match.start(name)]}{when.day}{suffix}{self.text[end:]}"


@dataclass(frozen=True, slots=True)
class WeekdaySaid:
    """A day of the week as the day of something: `next Friday`. number: 0 is Monday; start, end: of its name."""

    start: int
    end: int
    text: str
    how: str
    number: int


def days(text: str) -> list[Day]:
    """Every date written out in the text; those that may be read in two ways (5/6/2026) are none."""
    found = []
    for match in DATE.finditer(text):
        if match["iso"]:
            try:
                when = date.fromisoformat(match["iso"])
            except ValueError:
                continue
            found.append(Day(match.start(), match.end(), match.group(), when.year, when.month, when.day))
            continue
        name = match["month"] or match["month2"]
        month = int(match["m3"]) if match["m3"] else [m[:3] for m in MONTHS].index(name[:3]) + 1
        year = next((int(y) for y in (match["y"], match["y2"], match["y3"]) if y), None)
        day = int(match["d"] or match["d2"] or match["d3"])
        if 1 <= day <= calendar.monthrange(year or 2024, month)[1]:
            found.append(Day(match.start(), match.end(), match.group(), year, month, day))
    return found


def weekdays(text: str) -> list[WeekdaySaid] | None:
    """Days of the week that stand for one day each; None where one is named in any other way (Fridays, Fri)."""
    found = [
        WeekdaySaid(match.start("day"), match.end("day"), match["day"], match["how"].lower(), _number(match["day"]))
        for match in NAMED.finditer(text)
    ]
    return found if len(found) == len(ANY_WEEKDAY.findall(text)) else None


def today_of(texts: Sequence[str]) -> date | None:
    """The day that these texts call today, where they do so once.

    >>> today_of(["Today is Wednesday 2026-11-18."])
    datetime.date(2026, 11, 18)
    """
    said = {match[1] for text in texts for match in TODAY.finditer(text)}
    if len(said) != 1:
        return None
    try:
        return date.fromisoformat(said.pop())
    except ValueError:
        return None


def working_days_near(when: date, most: int = 6) -> list[date]:
    """Working days of the same month, the nearest first."""
    near = [when + timedelta(days=sign * step) for step in range(1, 28) for sign in (1, -1)]
    return [day for day in near if day.month == when.month and day.weekday() < 5][:most]


def _number(name: str) -> int:
    return [day.lower() for day in WEEKDAYS].index(name.lower())


def _suffix(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
