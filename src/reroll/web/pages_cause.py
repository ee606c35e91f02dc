"""The cause: the request with each part's effect, what was cleared, and what could not have been seen."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.errors import RerollError
from reroll.web import figured
from reroll.web.actions import offer
from reroll.web.blamed import request_with
from reroll.web.gathered import cause_of, earlier_cause, gathered
from reroll.web.home import Home
from reroll.web.pages_answer import case_named, sent, words_of
from reroll.web.view import page

__all__ = ["ROUTES"]

HEAD = {
    "systematic": ("fail", "There is a cause"),
    "bad_luck": ("pass", "No part of the request is to blame"),
    "not_reproduced": ("pass", "It did not come back"),
    "checker": ("invalid", "The check is at fault"),
    "expectation": ("invalid", "Nothing asks for what is checked"),
    "undecided": ("invalid", "The cause is not known yet"),
}


def cause_page(request: Request) -> Response:
    home: Home = request.app.state.home
    case = case_named(home, request.path_params["id"])
    known = gathered(home.store, case.id)
    section = known.cause
    if section is None and "cause" in known.found:
        section = cause_of(known.found["cause"][1])
    before = None
    if section is None and (earlier := earlier_cause(home.store, case.id)) is not None:
        before, section = earlier  # the program has changed since: what was found then is still what was found
    words: dict[str, str] = {}
    request_said, offers = [], {}
    try:
        project = home.project()
        words = words_of(project, case)
        named = section.factors if section else ()
        request_said = request_with(project.program, case, sent(project.program, case), named)
        offers = {
            "cause": offer(
                home, project, "cause", label="Look again, with fresh runs" if section else "Find out why", case=case.id
            )
        }
    except (RerollError, ValueError):
        pass
    figures: dict[str, figured.Draw] = {}
    if section is not None and section.factors:
        figures["cause"] = lambda width: figured.of_cause(section, width)
    return page(
        request,
        "cause.html",
        figures=figures,
        case=case,
        section=section,
        before=before,
        head=None if section is None else HEAD[section.verdict],
        words=words,
        request_said=request_said,
        offers=offers,
        jobs=home.store.jobs(states=("waiting", "running"), case_id=case.id),
    )


ROUTES = [Route("/cases/{id:path}/cause", cause_page)]
