"""Learn: the guided tour. Every step asks for a guess, then runs the model here and shows what came."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reroll.evidence import interval
from reroll.fix import Fix
from reroll.lessons import LESSONS, lesson
from reroll.numbers import counts, interval_words, percent
from reroll.playground import Playground, Run, example, parting, spread
from reroll.render.figures import IntervalRow, dumbbells, intervals, outcome_strip, token_bars, two_distributions
from reroll.web.access import Refused
from reroll.web.view import page

__all__ = ["ROUTES"]

CASE = "next-friday"
AWKWARD = "um so like lunch w/ Ana next Friday i guess at noon or something"
MANY, SOME, FEW = 120, 60, 5
SETS = (
    ("case", "This request", 36),
    ("neighbour", "Others like it", 12),
    ("lookalike", "Look-alikes", 12),
    ("control", "Ordinary requests", 6),
)
HOTTEST = 2.0
_play = Playground()


def tour(request: Request) -> Response:
    return page(request, "learn.html", lessons=LESSONS)


def ending(request: Request) -> Response:
    return page(request, "learn_end.html", lessons=LESSONS)


def step(request: Request) -> Response:
    """A step before the guess; with a guess, what the model did. The seed in the address keeps it as it was seen."""
    found = lesson(request.path_params["step"])
    if found is None:
        raise Refused(404, "the tour has no such step")
    at, one = found
    guess = request.query_params.get("guess")
    seed = _seed(request.query_params.get("seed"))
    if seed is None:
        rest = {k: v for k, v in request.query_params.items() if k != "seed"}
        return RedirectResponse(
            str(request.url.include_query_params(seed=secrets.randbelow(10**6), **rest)).partition(request.url.netloc)[
                2
            ],
            303,
        )
    shown = SHOWS[one.name](guess, seed)
    following = LESSONS[at + 1].name if at + 1 < len(LESSONS) else None
    return page(
        request,
        "learn_step.html",
        figures=shown.pop("figures", {}),
        one=one,
        at=at,
        lessons=LESSONS,
        guess=guess,
        seed=seed,
        following=following,
        asked=example().case(CASE).input["request"],
        **{"runs": [], "verdict": "", "pieces": [], "extra": "", **shown},
    )


def _seed(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 9 else None


def _wrong(runs: Sequence[Run]) -> int:
    return sum(run.outcome != "pass" for run in runs)


def _range(failures: int, n: int) -> tuple[float, float]:
    low, high = interval(failures, n, 0.05)
    return low, high


def _row(label: str, runs: Sequence[Run], kind: str = "fail") -> IntervalRow:
    wrong = _wrong(runs)
    low, high = _range(wrong, len(runs))
    return IntervalRow(label, low, wrong / len(runs), high, kind, f"{wrong} of {len(runs)}")


# -- the steps ---------------------------------------------------------------------------------------------------------


def again(guess: str | None, seed: int) -> dict[str, Any]:
    if guess is None:
        return {}
    runs = _play.runs(CASE, FEW, seed)
    wrong = _wrong(runs)
    said = (
        f"{wrong} of {FEW} came out wrong. You said {guess}."
        if guess.isdecimal()
        else f"{wrong} of {FEW} came out wrong."
    )
    return {
        "runs": runs,
        "verdict": said + (" Run it again, and it will be another number." if guess == str(wrong) else ""),
    }


def rate(guess: str | None, seed: int) -> dict[str, Any]:
    few = _play.runs(CASE, FEW, seed)
    if guess is None:
        return {"runs": few}
    many = _play.runs(CASE, MANY, seed + 1)
    said = min(100.0, max(0.0, float(guess))) / 100 if guess.replace(".", "", 1).isdecimal() else None
    wrong, n = _wrong(many), len(many)
    rows = [_row("What five runs leave open", few, "muted"), _row(f"After {n} more runs", many)]
    lines = [] if said is None else [(said, "your guess", "target")]
    words = [run.outcome for run in many]
    low, high = _range(_wrong(few), FEW)
    verdict = f"It failed {wrong} of {n} times: {percent(wrong / n)}."
    if said is not None:
        verdict += f" You said {percent(said)}, {abs(round(100 * (said - wrong / n)))} points off."
    verdict += f" From five runs alone, anything from {interval_words(low, high)} was possible."
    return {
        "runs": few,
        "verdict": verdict,
        "figures": {
            "rate": lambda width: intervals("rate", "How often it fails", rows, lines, width=width),
            "strip": lambda width: outcome_strip("strip", words, width=width),
        },
    }


def temperature(guess: str | None, seed: int) -> dict[str, Any]:
    if guess is None:
        return {}
    cold, warm = _play.runs(CASE, SOME, seed, temperature=0.0), _play.runs(CASE, SOME, seed, temperature=1.0)
    hot = _play.runs(CASE, SOME, seed, temperature=1.6)
    rows = [_row("Temperature 0", cold), _row("Temperature 1", warm), _row("Temperature 1.6", hot)]
    truth = "never" if not _wrong(cold) else "always" if _wrong(cold) == len(cold) else "sometimes"
    verdict = ("Right. " if guess == truth else "") + (
        f"At temperature 0 it failed {_wrong(cold)} of {len(cold)} times; at 1, {_wrong(warm)}; at 1.6, {_wrong(hot)}."
    )
    return {
        "verdict": verdict,
        "figures": {"temperatures": lambda width: intervals("temperatures", "How often it fails", rows, width=width)},
        "extra": "slider",
    }


def words(guess: str | None, seed: int) -> dict[str, Any]:
    if guess is None:
        return {}
    plain, awkward = _play.runs(CASE, SOME, seed, top=True), _play.runs(CASE, SOME, seed, wording=AWKWARD, top=True)
    at, _ = parting([*plain, *awkward])
    left, right = (_spread(runs, at) for runs in (plain, awkward))
    rows = [_row("The plain wording", plain), _row("The awkward one", awkward)]
    more = "awkward" if _wrong(awkward) > _wrong(plain) else "plain"
    close = abs(_wrong(awkward) - _wrong(plain)) < 0.1 * SOME
    said = f"The plain wording failed {_wrong(plain)} of {SOME} times, the awkward one {_wrong(awkward)} of {SOME}."
    if close:
        said += " In so few runs that is no difference to rely on; look at the chances that the model itself lists."
    elif guess in ("plain", "awkward"):
        said = ("Right. " if guess == more else "The other one. ") + said
    title = f"What may stand at token {at + 1}, the day: the plain wording left, the awkward one right"
    return {
        "verdict": said,
        "figures": {
            "rates": lambda width: intervals("rates", "How often each fails", rows, width=width),
            "two": lambda width: two_distributions(
                "two", left, right, names=("plain", "awkward"), most=5, title=title, width=width
            ),
        },
    }


def _spread(runs: Sequence[Run], at: int, heat: float = 1.0) -> list[tuple[str, float]]:
    first = next((run for run in runs if len(run.tokens) > at), None)
    return spread(first.tokens[at], heat) if first is not None else []


def dud(guess: str | None, seed: int) -> dict[str, Any]:
    runs = _play.runs(CASE, MANY, seed, top=True)
    at, found = parting(runs)
    wrong = next(
        (
            run
            for run in runs
            if run.outcome == "fail" and len(run.tokens) > at and found.get(run.tokens[at].text, (0, 0))[1]
        ),
        None,
    )
    if wrong is None:
        return {"verdict": "None of these runs failed; load the page again for others." if guess is not None else ""}
    pieces = [token.text for token in wrong.tokens if token.text]
    if guess is None:
        return {"pieces": pieces}
    picked = int(guess) if guess.isdecimal() else -1
    bars = [
        (token, n / len(runs), 1 - failed / n)
        for token, (n, failed) in sorted(found.items(), key=lambda i: -i[1][0])[:5]
    ]
    total = sum(n for n, _ in found.values())
    taken, lost = found[wrong.tokens[at].text]
    verdict = ("Right. " if picked == at else f"It was token {at + 1}, “{pieces[at]}”. ") + (
        f"Of {total} runs that began like this one, {taken} took “{pieces[at]}” there, and {lost} of these failed."
    )
    title = f"Token {at + 1}: what came there, and how many of these answers were right"
    return {
        "pieces": pieces,
        "dud": at,
        "picked": picked,
        "verdict": verdict,
        "figures": {"token": lambda width: token_bars("token", bars, chosen=pieces[at], title=title, width=width)},
    }


def _tried(name: str, guess: str | None, seed: int) -> dict[str, Any]:
    if guess is None:
        return {}
    fix = next(fix for fix in example().fixes if fix.fix == name)
    rows, counted = [], {}
    for kind, label, each in SETS:
        before, after = _both(kind, fix, each, seed)
        counted[kind] = (_wrong(before), _wrong(after), len(before))
        rows.append((label, _ends(before), _ends(after)))
    without, with_it, n = counted["neighbour"]
    one, left, m = counted["case"]
    verdict = (
        f"The reported request failed {one} of {counts('time', m)} without it, {left} with it. Requests like it "
        f"failed {without} of {n} "
        f"without it and {with_it} with it."
    )
    told = next(
        (
            words
            for one in LESSONS
            if one.name in (name, "describe" if name == "describe-date" else name)
            for value, words in one.choices
            if value == guess
        ),
        "",
    )
    verdict += f" You said: {told.lower()}." if told else ""
    title = "How often it fails, without the change and with it"
    return {
        "verdict": verdict,
        "figures": {
            "sets": lambda width: dumbbells(
                "sets", rows, title=title, names=("without", "with it"), domain=(0.0, 1.0), width=width
            )
        },
    }


def _both(kind: str, fix: Fix, each: int, seed: int) -> tuple[list[Run], list[Run]]:
    """Runs of one set without the fix and with it, the same seeds for both."""
    mine = [c for c in example().cases if c.set == kind and (c.id == CASE or c.of == CASE or kind == "control")]
    before: list[Run] = []
    after: list[Run] = []
    for i, case in enumerate(mine):
        before += _play.runs(case.id, each, seed + 17 * i)
        after += _play.runs(case.id, each, seed + 17 * i, fixes=[fix])
    return before, after


def _ends(runs: Sequence[Run]) -> tuple[float, float, float]:
    low, high = _range(_wrong(runs), len(runs))
    return low, _wrong(runs) / len(runs), high


SHOWS: Mapping[str, Any] = {
    "again": again,
    "rate": rate,
    "temperature": temperature,
    "words": words,
    "dud": dud,
    "hard-code": lambda guess, seed: _tried("hard-code", guess, seed),
    "describe": lambda guess, seed: _tried("describe-date", guess, seed),
}


def heat(request: Request) -> Response:
    """The model at a temperature, for the slider: what may stand at the day, and how a few runs came out."""
    try:
        at_heat = min(HOTTEST, max(0.0, float(request.query_params.get("t", "1"))))
    except ValueError:
        raise Refused(400, "the temperature is a number from 0 to 2") from None
    seed = _seed(request.query_params.get("seed")) or 0
    plain = _play.runs(CASE, 24, 5, top=True)
    at, _ = parting(plain)
    runs = _play.runs(CASE, 20, seed + round(100 * at_heat), temperature=at_heat)
    return JSONResponse(
        {
            "temperature": at_heat,
            "tokens": [{"token": text, "prob": p} for text, p in _spread(plain, at, at_heat)[:4]],
            "outcomes": [run.outcome for run in runs],
            "wrong": _wrong(runs),
        }
    )


ROUTES = [
    Route("/learn", tour),
    Route("/learn/end", ending),
    Route("/learn/heat", heat),
    Route("/learn/{step}", step),
]
