"""Learn: the guided tour. Every step asks for a guess, then runs the model here and shows what came.

The address holds all there is: the step, the seed of its runs, the guess, and how earlier guesses fared (`so`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reroll import lesson_steps as steps
from reroll.lesson_reading import Foretold
from reroll.lessons import LESSONS, Lesson, lesson
from reroll.numbers import counts, interval_words
from reroll.playground import Playground, Run, example
from reroll.render.figures import (
    IntervalRow,
    dumbbells,
    intervals,
    outcome_strip,
    success_curve,
    token_bars,
    two_distributions,
)
from reroll.web.access import Refused
from reroll.web.view import page

__all__ = ["ROUTES", "let_go"]

HOTTEST = 1.5  # above, what the model does not list by name has too much of the chance
MOST_WORDS = 160  # characters of the reader's own wording
SHOWN = 1e-3  # rarer tokens are among the others
NOTHING = "-" * len(LESSONS)
SCORES = {"right": "r", "near": "n", "off": "o", "": "-"}
EMPTY = {"runs": (), "score": None, "pieces": (), "requests": (), "picked": None, "dud": None, "more": ()}
_play = Playground()


def let_go() -> None:
    """Close the tour's model, which all readers share; the next step opens it again."""
    _play.close()


def tour(request: Request) -> Response:
    steps.prepare(_play)
    return page(request, "learn.html", lessons=LESSONS, size=steps.size())


def ending(request: Request) -> Response:
    so = _so(request)
    told = [(one.title, {v: k for k, v in SCORES.items()}[mark]) for one, mark in zip(LESSONS, so, strict=True)]
    return page(request, "learn_end.html", lessons=LESSONS, told=[one for one in told if one[1]])


def step(request: Request) -> Response:
    """A step before the guess; with a guess, what the model did. The seed in the address keeps it as it was seen."""
    found = lesson(request.path_params["step"])
    if found is None:
        raise Refused(404, "the tour has no such step")
    at, one = found
    guess = request.query_params.get("guess")
    seed = _seed(request.query_params.get("seed"))
    if seed is None:
        there = request.url.include_query_params(seed=secrets.randbelow(10**6))
        return RedirectResponse(f"{there.path}?{there.query}", 303)
    steps.prepare(_play)
    own = " ".join(request.query_params.get("own", "").split())[:MOST_WORDS]
    shown = SHOWS[one.name](guess, seed, own)
    score = shown.get("score")
    so = _so(request)
    if guess is not None and score is not None:
        so = so[:at] + SCORES[score.near] + so[at + 1 :]
    return page(
        request,
        "learn_step.html",
        figures=shown.pop("figures", {}),
        one=one,
        at=at,
        lessons=LESSONS,
        guess=guess,
        own=own,
        seed=seed,
        so=so,
        following=LESSONS[at + 1].name if at + 1 < len(LESSONS) else None,
        asked=example().case(steps.CASE).input["request"],
        said=_choice(one, guess),
        **{**EMPTY, **shown},
    )


def _so(request: Request) -> str:
    """How the guesses so far fared, a letter for each step."""
    given = request.query_params.get("so", NOTHING)
    return given if re.fullmatch(f"[rno-]{{{len(LESSONS)}}}", given) else NOTHING


def _seed(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 9 else None


def _choice(one: Lesson, guess: str | None) -> str:
    """The guess in the words of its button."""
    return next((words for value, words in one.choices if value == guess), "")


def _wrong(runs: Sequence[Run]) -> int:
    return sum(run.wrong for run in runs)


def _row(label: str, rate: Foretold, kind: str = "fail", note: str = "") -> IntervalRow:
    return IntervalRow(label, rate.low, rate.value, rate.high, kind, note)


def _of(runs: Sequence[Run], more: str = "") -> str:
    return f"{_wrong(runs)} of {counts('run', len(runs))}{more}"


# -- the steps: what each shows, from what it did ----------------------------------------------------------------------


def again(guess: str | None, seed: int, own: str = "") -> dict[str, Any]:
    if guess is None:
        return {}
    found = steps.again(_play, guess, seed)
    return {"runs": found.fives[0], "more": found.fives[1:], "score": found.score}


def rate(guess: str | None, seed: int, own: str = "") -> dict[str, Any]:
    found = steps.rate(_play, guess, seed)
    if guess is None:
        return {"runs": found.few}
    low, high = found.few_range
    few, many = _wrong(found.few) / len(found.few), _wrong(found.many) / len(found.many)
    many_low, many_high = steps.range_of(found.many)
    rows = [
        IntervalRow("What your five runs leave open", low, few, high, "muted", _of(found.few)),
        IntervalRow(f"After {len(found.many)} more runs", many_low, many, many_high, "fail", _of(found.many)),
        _row("What the model itself says", found.truth, "accent", "read, not drawn"),
    ]
    lines = [] if found.guess is None else [(found.guess, "your guess", "target")]
    outcomes = [run.outcome for run in found.many]
    title = f"The {len(outcomes)} runs, one after the other"
    return {
        "runs": found.few,
        "score": found.score,
        "figures": {
            "rate": lambda width: intervals("rate", "How often it fails", rows, lines, width=width),
            "strip": lambda width: outcome_strip("strip", outcomes, title=title, width=width),
        },
    }


def temperature(guess: str | None, seed: int, own: str = "") -> dict[str, Any]:
    if guess is None:
        return {}
    found = steps.temperature(_play, guess, seed)
    names = {steps.CASE: "“next Friday”", steps.HALF: "“half seven”"}
    rows = [_row(f"{names[case]} at {at:g}", one) for case, at, one in found.rates]
    title = "How often two requests fail, from temperature 0 to 1"
    return {
        "score": found.score,
        "figures": {"temperatures": lambda width: intervals("temperatures", title, rows, width=width)},
    }


def words(guess: str | None, seed: int, own: str = "") -> dict[str, Any]:
    if guess is None:
        return {"more": (steps.AWKWARD,)}
    found = steps.words(_play, guess, seed, own)
    rows = [_row(one.label, one.rate, note=_of(one.runs, " just now")) for one in found.said]
    left = found.said[0]
    right = found.said[3] if own else found.said[1]
    pairs = [[(token, p) for token, p, _ in one.place.tokens if p >= SHOWN] for one in (left, right)]
    title = "What may stand at the day of the month"
    names = (left.label.lower(), right.label.lower())
    return {
        "more": (steps.AWKWARD,),
        "score": found.score,
        "figures": {
            "rates": lambda width: intervals("rates", "How often each wording fails", rows, width=width),
            "two": lambda width: two_distributions("two", *pairs, names=names, title=title, width=width),
        },
    }


def dud(guess: str | None, seed: int, own: str = "") -> dict[str, Any]:
    found = steps.dud(_play, guess, seed)
    turns = found.turns
    if guess is None:
        return {"pieces": turns.tokens}
    points = [(k, one.token, one.value, one.low, one.high) for k, one in enumerate(turns.points)]
    bars = [one for one in turns.place.tokens if one[1] >= SHOWN]
    other = max(0.0, 1 - sum(p for _, p, _ in bars))
    chosen = turns.points[turns.worst].token
    return {
        "pieces": turns.tokens,
        "dud": turns.worst,
        "picked": found.picked,
        "score": found.score,
        "figures": {
            "curve": lambda width: success_curve("curve", points, turns.worst, width=width),
            "token": lambda width: token_bars("token", bars, other, chosen=chosen, width=width),
        },
    }


def _tried(name: str, guess: str | None, seed: int) -> dict[str, Any]:
    if guess is None:
        return {}
    found = steps.tried(_play, name, guess, seed)
    rows = [(label, _ends(one), _ends(two)) for label, one, two in found.sets]
    title = "How often it fails, without the change and with it"
    names = ("without", "with it")
    return {
        "score": found.score,
        "requests": found.shown,
        "figures": {
            "sets": lambda width: dumbbells("sets", rows, title=title, names=names, domain=(0.0, 1.0), width=width)
        },
    }


def _ends(rate: Foretold) -> tuple[float, float, float]:
    return rate.low, rate.value, rate.high


SHOWS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "again": again,
    "rate": rate,
    "temperature": temperature,
    "words": words,
    "dud": dud,
    "hard-code": lambda guess, seed, own="": _tried("hard-code", guess, seed),
    "describe": lambda guess, seed, own="": _tried("describe-date", guess, seed),
}


def heat(request: Request) -> Response:
    """The model at a temperature, for the slider: what may stand at the day, and how a few runs came out."""
    try:
        at_heat = min(HOTTEST, max(0.0, float(request.query_params.get("t", "1"))))
    except ValueError:
        raise Refused(400, f"the temperature is a number from 0 to {HOTTEST}") from None
    found = steps.heat_at(_play, round(at_heat, 1), _seed(request.query_params.get("seed")) or 0)
    return JSONResponse(
        {
            "temperature": found.temperature,
            "tokens": [{"token": text, "prob": p} for text, p, _ in found.place.tokens[:4]],
            "outcomes": [run.outcome for run in found.runs],
            "wrong": _wrong(found.runs),
            "rate": None if found.rate is None else interval_words(found.rate.low, found.rate.high),
        }
    )


ROUTES = [
    Route("/learn", tour),
    Route("/learn/end", ending),
    Route("/learn/heat", heat),
    Route("/learn/{step}", step),
]
