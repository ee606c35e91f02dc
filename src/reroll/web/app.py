"""The pages as one ASGI application: routes, the guard before them, and a page for whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from reroll.allocating import give_back
from reroll.errors import RerollError, StoreError
from reroll.output import complain
from reroll.render.figures import PAGE_CSS
from reroll.web import door, jobs, live, pages_learn, receiver
from reroll.web.access import Access, Guard, Refused
from reroll.web.beside import beside
from reroll.web.glimpse import Glimpses
from reroll.web.home import Home
from reroll.web.keeping_watch import keeping_watch
from reroll.web.pages import PAGES
from reroll.web.pages_answer import warm
from reroll.web.reading import reading
from reroll.web.view import page

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"
EVERY = 30.0  # seconds after which what is held or was freed is given back to the machine
NOT_FOUND = "there is no such page; it may have been typed wrong, or what it showed is in another project's store"


def create_app(home: Home, access: Access) -> Starlette:
    """The pages of one project. Jobs that a killed server left go on as soon as it starts."""

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        async with (
            jobs.pool(home) as pool,
            live.hub(home) as hub,
            reading(home) as received,
            keeping_watch(home, complain),
            beside(resting(home)),
        ):
            app.state.pool, app.state.hub, app.state.reading = pool, hub, received
            warming = asyncio.gather(*(run_in_threadpool(one, home) for one in (app.state.glimpses.warm, warm)))
            yield
            warming.cancel()
            await run_in_threadpool(pages_learn.let_go)

    routes: Sequence[BaseRoute] = [
        Route("/healthz", lambda request: PlainTextResponse("ok")),
        Route("/static/figures.css", lambda request: PlainTextResponse(PAGE_CSS, media_type="text/css")),
        Mount("/static", StaticFiles(directory=STATIC)),
        *door.ROUTES,
        *jobs.ROUTES,
        *live.ROUTES,
        *receiver.ROUTES,
        *PAGES,
    ]
    app = Starlette(
        routes=routes,
        lifespan=life,
        exception_handlers={Exception: went_wrong, HTTPException: went_wrong, RerollError: went_wrong},
    )
    app.state.home, app.state.access, app.state.glimpses = home, access, Glimpses()
    app.state.complaints = receiver.Complaints()
    app.add_middleware(Guard, access=access, refuse=went_wrong)
    return app


async def resting(home: Home) -> None:
    while True:
        await asyncio.sleep(EVERY)
        for rest in (home.store.rest, give_back):
            await run_in_threadpool(rest)


def went_wrong(request: Request, error: Exception) -> Response:
    """A page that says what is wrong and what to do; programs get the sentence alone."""
    status, words = 500, f"unexpected error: {type(error).__name__}; nothing that was drawn is lost; please report this"
    if isinstance(error, Refused):
        status, words = error.status, str(error)
    elif isinstance(error, HTTPException):
        status, words = error.status_code, NOT_FOUND if error.status_code == 404 else str(error.detail)
    elif isinstance(error, StoreError):
        status, words = 503, str(error)
    elif isinstance(error, RerollError):
        status, words = 404 if error.slug.startswith("unknown") else 400, str(error)
    if "text/html" not in request.headers.get("accept", "text/html,*/*"):
        return PlainTextResponse(words + "\n", status)
    return page_of_trouble(request, status, words)


def page_of_trouble(request: Request, status: int, words: str) -> Response:
    """Drawn even where the store is gone: it is asked nothing."""
    template = "enter.html" if status == 401 else "trouble.html"
    return page(request, template, status=status, quiet=True, status_code=status, words=words[:1].upper() + words[1:])
