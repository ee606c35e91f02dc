"""The project: its program, cases and checks; models with what they can do; spend and caps; settings; doctor."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.errors import UsageError
from reroll.looking import LISTED, environment_facts
from reroll.render.said import CAN
from reroll.settings import SETTINGS
from reroll.web.access import Refused, form_of, visitor_of
from reroll.web.home import Home
from reroll.web.pages_received import shown
from reroll.web.view import page

__all__ = ["ROUTES"]

SETS = {
    "case": "Reported requests",
    "neighbour": "Others like them",
    "lookalike": "Look-alikes",
    "control": "Ordinary requests",
}
MOST_NAME = 60


def project_page(request: Request) -> Response:
    home: Home = request.app.state.home
    project = home.project()
    counts = {one.case_id: one for one in home.store.case_counts()}
    spend = home.store.spend()
    judged = home.store.spend(source="judge")
    identities = _identities(home)
    return page(
        request,
        "project.html",
        project=project,
        program=project.program,
        sets=[(words, [c for c in project.cases if c.set == name]) for name, words in SETS.items()],
        counts=counts,
        spend=spend,
        judged=judged,
        models=[(identity, _abilities(home, identity)) for identity in identities],
        home=home,
        arrived=shown(request),
    )


def _identities(home: Home) -> list[str]:
    """The models that answered here, by their very identity."""
    newest = home.store.samples(limit=1, newest=True, source=LISTED)
    try:
        return [home.store.get_request(one.request_id).identity for one in newest]
    except UsageError:  # a store that lost a request still shows the rest
        return []


def _abilities(home: Home, identity: str) -> list[tuple[str, str]]:
    """What the newest probe found that a model can do, in words; empty where it was never probed."""
    probes = home.store.probes(identity)
    if not probes:
        return []
    known = probes[-1].capabilities
    return [(words, _said(known.get(name))) for name, words in CAN if name in known]


def _said(value: Any) -> str:
    return {None: "not tried", True: "yes", False: "no", "raw": "yes", "sampled": "no, after it"}.get(value, str(value))


def settings_page(request: Request) -> Response:
    return _settings(request)


def _settings(request: Request, secret: str = "", wrong: str = "") -> Response:
    home: Home = request.app.state.home
    who = visitor_of(request)
    return page(
        request,
        "settings.html",
        tokens=home.store.tokens() if who.runs_the_server else [],
        owner=who.runs_the_server,
        secret=secret,
        wrong=wrong,
        settings=[s for s in SETTINGS.values() if s.name != "store"],
        home=home,
    )


def _owner(request: Request) -> None:
    if not visitor_of(request).runs_the_server:
        raise Refused(403, "access tokens are given by whoever runs this server")


async def token_new(request: Request) -> Response:
    """Make an access token; its secret is on the page that answers, and nowhere after."""
    form = await form_of(request)
    _owner(request)
    home: Home = request.app.state.home
    name = " ".join(str(form.get("name", "")).split())[:MOST_NAME]
    cap = str(form.get("max_usd", "")).strip()
    try:
        if not name:
            raise UsageError("a token needs a name: who or what it is for", slug="serve-token")
        most = _money(cap) if cap else None
    except UsageError as error:
        return await run_in_threadpool(_settings, request, "", str(error))
    scopes = ("send",) if form.get("send") else ("read", "run") if form.get("run") else ("read",)
    _, secret = await run_in_threadpool(home.store.new_token, name, scopes, most)
    return await run_in_threadpool(_settings, request, secret)


def _money(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise UsageError(f"{text!r} is no amount of dollars", slug="serve-token")
    return value


async def token_revoke(request: Request) -> Response:
    await form_of(request)
    _owner(request)
    await run_in_threadpool(request.app.state.home.store.revoke_token, request.path_params["id"])
    return RedirectResponse("/settings", 303)


def doctor_page(request: Request) -> Response:
    home: Home = request.app.state.home
    jobs = home.store.jobs(limit=200)
    return page(
        request,
        "doctor.html",
        facts=environment_facts(),
        store=home.store.name,
        newest=home.store.newest(),
        models=[(identity, _abilities(home, identity)) for identity in _identities(home)],
        failed=[job for job in jobs if job.state == "failed"][:10],
        stale=home.store.stale_jobs(10.0),
        problem=home.broken(),
    )


ROUTES = [
    Route("/project", project_page),
    Route("/settings", settings_page, methods=["GET"]),
    Route("/settings/tokens", token_new, methods=["POST"]),
    Route("/settings/tokens/{id}/revoke", token_revoke, methods=["POST"]),
    Route("/doctor", doctor_page),
]
