"""The inbox: what people reported, the newest first, each with its one-line answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.web.home import Home
from reroll.web.view import page

__all__ = ["ROUTES"]


def inbox(request: Request) -> Response:
    home: Home = request.app.state.home
    return page(request, "inbox.html", reports=home.store.reports()[::-1])


ROUTES = [Route("/", inbox)]
