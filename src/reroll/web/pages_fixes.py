"""Fixes: scorecards side by side, the idea box (blind until the verdict), what helped and whom to thank, the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.answer import to_json
from reroll.arguments import Common
from reroll.commands_ledger import ledger_from
from reroll.errors import FileError, RerollError, UsageError
from reroll.fix import Fix
from reroll.ideas import Board, Idea, board_of, same_person
from reroll.ideas_file import add_idea, change_idea, keep_fix, read_ideas
from reroll.levers import fitting
from reroll.project import Project, load_project
from reroll.proposals import NEVER
from reroll.strict_yaml import parse_yaml
from reroll.web import figured
from reroll.web.access import Refused, form_of, visitor_of
from reroll.web.actions import Offer, offer
from reroll.web.gathered import gathered, newest
from reroll.web.home import Home
from reroll.web.pages_answer import can_be_fixed, case_named
from reroll.web.view import page

__all__ = ["ROUTES"]

CLAIMS = {
    "cures": "the request itself fails less often",
    "helps": "others like it fail less often",
    "generalises": "what it does for the request it does for others",
    "spares_lookalikes": "look-alikes are not harmed",
    "spares_control": "ordinary requests are not harmed",
}
FORMS = (
    ("clause.add", "Add a sentence to the system prompt"),
    ("clause.edit", "Say a part of the system prompt in other words"),
    ("field.describe", "Describe a field of the answer"),
    ("patch.special_case", "Hard-code an answer for some requests"),
)


def fixes_page(request: Request) -> Response:
    home: Home = request.app.state.home
    case = case_named(home, request.path_params["id"])
    known = gathered(home.store, case.id)
    cards, tried, before = known.cards, known.found.get("try"), False
    if not cards and (earlier := newest(home.store, "try", case.id)) is not None:
        # The program has changed since, by that very trial perhaps: what was tried then is still what was tried.
        cards, tried, before = earlier[1]["fixes"], earlier, True
    figures: dict[str, figured.Draw] = {
        f"fix-{card['fix']}": partial(figured.of_card, card) for card in cards if _ran(card)
    }
    offers: dict[str, Offer] = {}
    names: list[str] = []
    applied: set[str] = set()
    try:
        project = home.project()
        applied = {entry.fix for entry in _ledger(home, project).fixes if entry.applied}
        names = [fix.fix for fix in project.fixes]
        offers["neighbours"] = offer(home, project, "neighbours", label="Make similar requests", case=case.id)
        if can_be_fixed(project, case):
            offers["suggest"] = offer(
                home, project, "try", label="Suggest changes and try them", case=case.id, suggest="4"
            )
            offers |= {
                f"try {name}": offer(home, project, "try", label=f"Try {name}", case=case.id, fix=name)
                for name in names
            }
    except RerollError:
        pass
    return page(
        request,
        "fixes.html",
        figures=figures,
        in_cards=len(cards) > 1,
        case=case,
        cards=cards,
        applied=applied,
        claims=CLAIMS,
        offers=offers,
        names=names,
        tried=tried,
        before=before,
        jobs=home.store.jobs(states=("waiting", "running"), case_id=case.id),
    )


def _ran(card: Mapping[str, Any]) -> bool:
    return any(
        (card.get(key) or {}).get("before", {}).get("n") for key in ("case", "neighbours", "lookalikes", "control")
    )


def _board(home: Home, case: str | None) -> Board:
    project = home.project()
    return board_of(read_ideas(project), project.fixes, _ledger(home, project).fixes, project.program, case)


def _ledger(home: Home, project: Project) -> Any:
    return ledger_from(project, Common(project=home.folder, store=home.store_url))


def ideas_page(request: Request) -> Response:
    return _ideas(request)


def _ideas(request: Request, wrong: str = "", told: Mapping[str, str] | None = None, status: int = 200) -> Response:
    home: Home = request.app.state.home
    case = request.query_params.get("case") or None
    project = home.project()
    board = _board(home, case)
    offers = {}
    for one in board.ideas:
        if one.state == "ready":
            offers[one.number] = offer(
                home, project, "try", label="Try it, blind", case=one.case, fix=f"idea:{one.number}"
            )
    return page(
        request,
        "ideas.html",
        status=status,
        board=board,
        plain_board=to_json(board),
        case=case,
        cases=[c for c in project.cases if c.set == "case"],
        offers=offers,
        forms=FORMS,
        parts=list(_parts(project)),
        wrong=wrong,
        told=told or {},
        jobs=[job for job in home.store.jobs(states=("waiting", "running")) if job.words[0] == "try"],
    )


def _parts(project: Project) -> list[str]:
    program = project.program
    system = [f"system.{name}" for name in program.system] if isinstance(program.system, dict) else []
    response = program.response if isinstance(program.response, dict) else {}
    fields = [f"response.{name}.description" for name in response.get("properties", {})]
    return [*system, *fields]


async def idea_new(request: Request) -> Response:
    """Keep an idea in its author's words."""
    form, who = await form_of(request), visitor_of(request)
    told = {key: " ".join(str(form.get(key, "")).split())[:2000] for key in ("idea", "case", "by")}
    home: Home = request.app.state.home
    try:
        await run_in_threadpool(_add, home, told, who.name)
    except UsageError as error:
        return await run_in_threadpool(_ideas, request, str(error), told, 422)
    return RedirectResponse(f"/ideas?case={told['case']}", 303)


def _add(home: Home, told: Mapping[str, str], name: str) -> None:
    project, by = home.project(), told["by"] or name
    if not told["idea"] or not by:
        raise UsageError("an idea needs words and a name: who has it", slug="idea")
    if all(c.id != told["case"] for c in project.cases):
        raise UsageError(
            "an idea is for a case of cases.yaml; making similar requests of a reported one puts it there", slug="idea"
        )
    add_idea(project, Idea(idea=told["idea"], by=by, case=told["case"]))


async def idea_write(request: Request) -> Response:
    """Write an idea as a fix: what changes, said as data; no code ever comes from a page."""
    form, who = await form_of(request), visitor_of(request)
    home: Home = request.app.state.home
    told = {key: str(form.get(key, "")).strip()[:8000] for key in ("kind", "target", "text", "yaml", "name")}
    try:
        await run_in_threadpool(_write, home, int(request.path_params["n"]), told, who.name)
    except UsageError as error:
        return await run_in_threadpool(_ideas, request, str(error), told, 422)
    return RedirectResponse("/ideas", 303)


def _write(home: Home, number: int, told: Mapping[str, str], by: str) -> None:
    project = home.project()
    there = read_ideas(project)
    if not 1 <= number <= len(there):
        raise UsageError(f"there is no idea {number}", slug="no-idea")
    taken = {fix.fix for fix in project.fixes}
    base = f"idea-{number}"
    name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, 1000))) if n not in taken)
    fix = _fix(told, name, by)
    if "python" in fix.kind or "python" in str(fix.model_dump(mode="json")):
        raise UsageError("code comes from the project's own files, never from a page", slug="idea")
    if fix.kind in NEVER:
        raise UsageError(
            "where calls go is said in the project's own files, never on a page; ask whoever keeps them", slug="idea"
        )
    fitting(fix, project.program)
    keep_fix(project, fix, f"Written on a page for idea {number}; whoever had the idea confirms it.")
    change_idea(load_project(project.path), number, {"fix": fix.fix, "confirmed": False})


def _fix(told: Mapping[str, str], name: str, by: str) -> Fix:
    """The fix that a form says: its few plain fields, or the same as a file would write it."""
    if told["yaml"]:
        try:
            form = parse_yaml(told["yaml"], "the fix")
        except FileError as error:
            raise UsageError(f"that is no YAML: {error}", slug="idea") from None
        if not isinstance(form, dict):
            raise UsageError("a fix is written as keys and values: `kind: field.describe`", slug="idea")
        form = {**form, "fix": name}
    else:
        form = {"fix": name, "kind": told["kind"], "text": told["text"]}
        if told["target"]:
            form["target"] = told["target"]
        elif told["kind"] == "clause.add":  # a new sentence is no part yet: it is called like its fix
            form["target"] = f"system.{name}"
    try:
        return Fix.model_validate({"author": by or "page", **form})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"that is no fix: {where + ': ' if where else ''}{first['msg']}", slug="idea") from None


async def idea_confirm(request: Request) -> Response:
    """Its author says that the fix is what was meant."""
    form, who = await form_of(request), visitor_of(request)
    home: Home = request.app.state.home
    by = " ".join(str(form.get("by", "")).split()) or who.name
    await run_in_threadpool(_confirm, home, int(request.path_params["n"]), by)
    return RedirectResponse("/ideas", 303)


def _confirm(home: Home, number: int, by: str) -> None:
    project = home.project()
    there = read_ideas(project)
    if not 1 <= number <= len(there) or there[number - 1].fix is None:
        raise UsageError(f"idea {number} is words so far, with nothing to confirm", slug="idea")
    if not same_person(by, there[number - 1].by):
        raise Refused(403, f"only {there[number - 1].by} knows what was meant; they confirm it under their name")
    change_idea(project, number, {"confirmed": True})


def ledger_page(request: Request) -> Response:
    home: Home = request.app.state.home
    project = home.project()
    return page(request, "ledger.html", ledger=_ledger(home, project), program=project.program)


ROUTES = [
    Route("/cases/{id:path}/fixes", fixes_page),
    Route("/ideas", ideas_page, methods=["GET"]),
    Route("/ideas", idea_new, methods=["POST"]),
    Route("/ideas/{n:int}/fix", idea_write, methods=["POST"]),
    Route("/ideas/{n:int}/confirm", idea_confirm, methods=["POST"]),
    Route("/ledger", ledger_page),
]
