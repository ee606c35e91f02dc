"""The door: letting people in by an access token, telling who they are, and letting them out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.web.access import COOKIE, Access, Refused, form_of, let_in, local, visitor_of

__all__ = ["ROUTES"]

MOST_NAME = 60


async def enter(request: Request) -> Response:
    """Let in whoever knows an access token."""
    form = await form_of(request)
    access: Access = request.app.state.access
    token = access.store.token_of(str(form.get("token", "")).strip())
    if token is None:
        raise Refused(401, "no such access token is in force here; ask whoever runs this server for one")
    if "read" not in token.scopes:
        raise Refused(403, "this access token may send traces, and nothing else; ask for another to see the pages")
    reply = RedirectResponse("/", 303)
    let_in(reply, access.passes.session(access.clock(), token.name, token.id), request)
    return reply


async def name(request: Request) -> Response:
    """Whoever came by the link says what they are called."""
    form, who = await form_of(request), visitor_of(request)
    said = " ".join(str(form.get("name", "")).split())[:MOST_NAME]
    access: Access = request.app.state.access
    reply = RedirectResponse(local(str(form.get("back", ""))) or "/settings", 303)
    if who.runs_the_server:  # no cookie for others: it would outlive what let them in, or be another's name
        let_in(reply, access.passes.session(access.clock(), said, of=who.session), request)
    return reply


async def leave(request: Request) -> Response:
    await form_of(request)
    reply = RedirectResponse("/", 303)
    reply.delete_cookie(COOKIE)
    return reply


ROUTES = [
    Route("/enter", enter, methods=["POST"]),
    Route("/name", name, methods=["POST"]),
    Route("/leave", leave, methods=["POST"]),
]
