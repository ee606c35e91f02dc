"""A page: a template filled with values, its figures, and each figure as a file.

Everything that a template shows is escaped; what a model wrote goes through `plain` or `marked`, which also make
visible what would be invisible or would steer the reader.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reroll import __version__
from reroll.numbers import bits, counts, interval_words, money, percent, seconds_words
from reroll.render.figures import Figure
from reroll.render.ink import visible
from reroll.store import Store
from reroll.store_rows_web import Job
from reroll.watch_words import moment_words
from reroll.web.access import Refused, Visitor
from reroll.words import between_points, gain_words, headline_alpha, points

__all__ = ["WIDE", "Drawn", "environment", "marked", "page", "plain", "prose"]

HERE = Path(__file__).parent
WIDE, NARROW = 720, 350
IN_CARD = 468  # two cards side by side on a page of 1280 pixels
READ_ONLY = Markup(' disabled title="Your access lets you read, not run"')
MOST_SHOWN = 20_000  # characters of one completion on a page; the rest is offered as a file
TYPES = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as a page shows it: drawn for a wide screen, and for a phone; CSS shows the one that fits."""

    wide: Figure
    narrow: Figure

    @classmethod
    def of(cls, draw: Callable[[int], Figure], wide: int = WIDE) -> Drawn:
        return cls(draw(wide), draw(NARROW))


def plain(text: Any, most: int = MOST_SHOWN) -> str:
    """The text with nothing invisible in it, cut after so many characters."""
    text = str(text)
    cut = text[:most]
    shown = cut if cut.isascii() and cut.isprintable() else "".join(visible(char) for char in cut)
    return shown if len(text) <= most else f"{shown} … and {counts('more character', len(text) - most)}"


def marked(text: str, marks: Sequence[Sequence[int]] = (), kind: str = "fail", most: int = MOST_SHOWN) -> Markup:
    """The text as HTML, escaped, with the marked spans in `<mark>`; overlapping spans become one."""
    out: list[str | Markup] = []
    at = 0
    for start, end in sorted((int(s), int(e)) for s, e in marks):
        start, end = max(start, at), min(end, len(text), most)
        if start >= end:
            continue
        out += [escape(plain(text[at:start])), Markup('<mark class="{}">').format(kind)]
        out += [escape(plain(text[start:end])), Markup("</mark>")]
        at = end
    out.append(escape(plain(text[at:], max(0, most - at))))
    return Markup("").join(out)


def prose(text: Any, words: Mapping[str, str] | None = None, most: int = MOST_SHOWN) -> Markup:
    """Sentences of reroll as HTML: what stands between backticks as code, parts of a request by their words, a share
    never broken before its sign.

    words: what each part is called by its id; an id that stands in brackets behind its words is left out.

    >>> prose("Likeliest: user.1 (22 %). See `reroll cause a`.", {"user.1": "“next Friday”"})
    Markup('Likeliest: “next Friday” (<span class="whole">22 %</span>). See <code>reroll cause a</code>.')
    >>> prose("the words “next Friday” (user.1)", {"user.1": "“next Friday”"})
    Markup('the words “next Friday”')
    """
    said = str(text)
    named = sorted((id for id in words or () if "." in id), key=len, reverse=True)  # `model` alone is a word of its own
    if words and named:
        ids = "|".join(map(re.escape, named))
        said = re.sub(rf"(?<=[”\w]) \((?:{ids})\)", "", said)
        said = re.sub(rf"(?<![\w.`])(?:{ids})(?![\w`]|\.\w)", lambda found: words[found[0]], said)
    parts = re.split(r"`([^`\n]{1,200})`", said[:most] + (" …" if len(said) > most else ""))
    out = [Markup("<code>{}</code>").format(plain(one)) if i % 2 else _whole(one) for i, one in enumerate(parts)]
    return Markup("").join(out)


def _whole(text: str) -> Markup:
    """The text as HTML, with each share and its sign on one line."""
    parts = re.split(r"(\d[\d.,–]* %)", plain(text))
    kept = Markup('<span class="whole">{}</span>')
    return Markup("").join(kept.format(one) if i % 2 else escape(one) for i, one in enumerate(parts))


def described(check: Any) -> str:
    """What a check asks for, as the project's file says it."""
    told = {name: value for name, value in check.model_dump(mode="json").items() if name != "name"}
    return plain(json.dumps(told, ensure_ascii=False), 300)


def when(us: int | float | None) -> Markup:
    """A moment, as a `<time>` that scripts may say in the reader's own zone."""
    if us is None:
        return Markup("")
    at = datetime.datetime.fromtimestamp(us / 1e6, datetime.UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%-d %b %Y, %H:%M} UTC"
    )


def est(value: Mapping[str, Any] | Any, unit: str = "percent") -> str:
    """An estimate with its range, as one reads it: `43 % (18 to 71 %)`; points for differences."""

    def get(name: str) -> Any:
        return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)

    middle = get("value") if get("value") is not None else get("estimate")
    low, high = get("low"), get("high")
    if middle is None or low is None or high is None:
        return "not known"
    if unit == "points":
        return f"{points(middle)} ({between_points(low, high)})"
    return f"{percent(middle)} ({interval_words(low, high)})"


def gained(gain: Mapping[str, Any], of: str) -> str:
    """How many of the failures a fix takes away, from its JSON."""
    return gain_words(gain["value"], gain.get("low"), gain.get("high"), of)


def figure_file(request: Request, name: str, kind: str) -> str:
    """Where this page's figure lies as a file."""
    return f"{request.url.path}?{request.url.include_query_params(figure=name, **{'as': kind}).query}"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=percent,
        money=money,
        seconds=seconds_words,
        plain=plain,
        marked=marked,
        when=when,
        prose=prose,
        est=est,
        counted=lambda n, thing: counts(thing, n),
        described=described,
        gained=gained,
        moment=moment_words,
    )
    made.globals.update(
        version=__version__, interval=interval_words, bits=bits, headline_alpha=headline_alpha, figure_file=figure_file
    )
    return made


def page(
    request: Request,
    template: str,
    *,
    figures: Mapping[str, Drawn | Callable[[int], Figure]] | None = None,
    in_cards: bool = False,
    status: int = 200,
    quiet: bool = False,
    **values: Any,
) -> Response:
    """The template as a page; with `?figure=NAME&as=svg|png|csv` that figure of it, as a file.

    Args:   quiet: ask the store and the project nothing, as one of them may be what is wrong;
            figures: by name, drawn or how to draw them at a width; templates show `{{ figure(figures.NAME) }}`;
            in_cards: they stand in cards, two in a row.
    Raises: Refused for a figure that the page has not.
    """
    wanted = request.query_params.get("figure")
    wide = IN_CARD if in_cards and wanted is None else WIDE
    drawn = {k: v if isinstance(v, Drawn) else Drawn.of(v, wide) for k, v in (figures or {}).items()}
    if wanted is not None:
        return _file(drawn, wanted, request.query_params.get("as", "svg"))
    who: Visitor | None = request.scope.get("reroll.visitor")
    home = request.app.state.home
    access = request.app.state.access
    shared = {
        "request": request,
        "path": request.url.path,
        "query": request.url.query,
        "who": who,
        "locked": "" if who is None or who.may_run else READ_ONLY,
        "mark": "" if who is None else access.passes.mark(who.session),
        "figures": drawn,
        "folder": home.folder.resolve().name,
        "broken": None if who is None or quiet else home.broken(),
        "questions": {} if quiet else _questions(home.store, values.get("jobs", ())),
        "failed": None if who is None or quiet else _failed(home.store, request.query_params.get("job")),
        "active_jobs": [] if who is None or quiet else home.store.jobs(states=("waiting", "running")),
    }
    text = environment().get_template(template).render({**shared, **values})
    return HTMLResponse(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), status)  # as a browser would read it


def _questions(store: Store, jobs: Iterable[Job]) -> dict[str, dict[str, Any]]:
    """What each of these jobs waits for people to say: every page that shows a job shows its question."""
    found = {job.id: store.open_question(job.id) for job in jobs if job.state == "running"}
    return {id: {"n": said[0], "question": said[1]} for id, said in found.items() if said is not None}


def _failed(store: Store, id: str | None) -> Job | None:
    """The job that the visitor just asked for, where it could not be done: a page that shows nothing new says why."""
    job = None if id is None else store.job(id)
    return job if job is not None and job.state == "failed" else None


def _file(figures: Mapping[str, Drawn], name: str, kind: str) -> Response:
    if name not in figures or kind not in TYPES:
        raise Refused(404, "there is no such figure on this page")
    figure = figures[name].wide
    body: str | bytes = figure.png() if kind == "png" else figure.csv() if kind == "csv" else figure.svg()
    return Response(
        body, media_type=TYPES[kind], headers={"content-disposition": f'attachment; filename="{name}.{kind}"'}
    )
