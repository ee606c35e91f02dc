"""Watch: how production's calls of each case fare over time against the target, and what commands here drew."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.case import Case
from reroll.drift import first_alarm
from reroll.drift_rule import drift_rule
from reroll.errors import RerollError, StoreError
from reroll.project import Project
from reroll.render.figures import stream
from reroll.watch_file import read_watch
from reroll.watch_overview import Overview, Row, overview
from reroll.watching import DAY
from reroll.web import figured
from reroll.web.glimpse import Glimpse
from reroll.web.home import Home
from reroll.web.view import Drawn, page

__all__ = ["ROUTES", "Stream"]

LEAST = 20  # runs that a stream is shown from
COLUMNS = 40
LEAST_IN_COLUMN = 10  # a column of a single run would be all or nothing
RUN_LENGTH = 10_000  # calls between false alarms, on average
MOST_BASELINE = 0.5


@dataclass(frozen=True, slots=True)
class Stream:
    """Outcomes of one case in the order of time. budget: the share of its error budget that is spent.

    production: whether production made them; else commands here drew them, which spends no error budget.
    alarm: after how many runs the rate was shown to have risen above what the target allows; None: it was not.
    """

    case: Case
    production: bool
    n: int
    failures: int
    allowed: float
    alarm: int | None
    times: tuple[tuple[float, int, int], ...]
    alarm_at: float | None

    @property
    def name(self) -> str:
        """Of its figure."""
        return f"{'stream' if self.production else 'drawn'}-{self.case.id}"

    @property
    def budget(self) -> float:
        return self.failures / (self.allowed * self.n) if self.n and self.allowed else 0.0


def watch_page(request: Request) -> Response:
    home: Home = request.app.state.home
    try:
        project = home.project()
    except RerollError:
        return page(request, "watch.html", streams=[], target=None, shown=None, unread="")
    shown, unread = _overview(home, project)
    target = project.program.target or 0.99
    known = {c.case_id: c.n for c in home.store.case_counts()}
    every = [c for c in (*project.cases, *project.reported) if known.get(c.id, 0) >= LEAST and c.checks]
    glimpses = [(request.app.state.glimpses.of(home, c), c) for c in every]
    found = [_stream(seen, c, production, 1 - target) for production in (True, False) for seen, c in glimpses]
    streams = [one for one in found if one is not None]
    made = Counter(one.production for one in streams)
    draws: dict[str, Drawn | figured.Draw] = {
        one.name: _in_card(partial(_draw, one), made[one.production]) for one in streams
    }
    rows = [] if shown is None else [row for row in shown.rows if row.what != "invalid" or row.state == "open"]
    draws |= {_figure_name(row): _in_card(partial(_draw_days, row), len(rows)) for row in rows if len(row.days) > 1}
    return page(
        request,
        "watch.html",
        figures=draws,
        in_cards=True,
        streams=streams,
        target=target,
        shown=shown,
        unread=unread,
        rows=rows,
    )


def _in_card(draw: figured.Draw, cards: int) -> Drawn | figured.Draw:
    """The figure of one of so many cards: a lone one has the whole width."""
    return Drawn.of(draw) if cards == 1 else draw


def _overview(home: Home, project: Project) -> tuple[Overview | None, str]:
    """How the project's watch stands, and why that cannot be said."""
    try:
        return overview(home.store, read_watch(project), time.time()), ""
    except StoreError:
        raise
    except (RerollError, ValueError) as error:
        return None, str(error)


def _figure_name(row: Row) -> str:
    return f"watch-{row.key.partition(':')[2]}"


def _draw_days(row: Row, width: int) -> Any:
    days = [(day.day * DAY, round(day.losses), day.n) for day in row.days]
    alarms = [] if row.alarm_since is None else [(row.alarm_since // DAY * DAY, "alarm")]
    title = f"{row.called}: the share of each day's calls that {'was lost' if row.what == 'loss' else 'failed'}"
    return stream(_figure_name(row), days, alarms, row.baseline, named="normal, at most", title=title, width=width)


def _stream(glimpse: Glimpse, case: Case, production: bool, allowed: float) -> Stream | None:
    """The case's runs as production recorded or the program drew them; those of tried changes are no stream."""
    said = glimpse.over_time("baseline", production=production)
    if len(said) < LEAST:
        return None
    judged = [(when, word) for when, word in said if word != "invalid"]
    failures = sum(word == "fail" for _, word in judged)
    alarm = None
    if 0 < allowed < MOST_BASELINE:
        found = first_alarm([word for _, word in judged], drift_rule(allowed, RUN_LENGTH))
        alarm = None if found is None else found.at
    at = None if alarm is None else judged[alarm - 1][0]
    return Stream(case, production, len(judged), failures, allowed, alarm, _binned(judged), at)


def _binned(judged: list[tuple[float, str]]) -> tuple[tuple[float, int, int], ...]:
    size = max(LEAST_IN_COLUMN, -(-len(judged) // COLUMNS))
    parts = [judged[i : i + size] for i in range(0, len(judged), size)]
    return tuple((part[0][0], sum(word == "fail" for _, word in part), len(part)) for part in parts)


def _draw(one: Stream, width: int) -> Any:
    alarms = [] if one.alarm_at is None else [(one.alarm_at, "above")]
    title = f"{one.case.id}: the share that failed, in the order in which {'calls' if one.production else 'runs'} came"
    return stream(one.name, one.times, alarms, one.allowed, named="target allows", title=title, width=width)


ROUTES = [Route("/watch", watch_page)]
