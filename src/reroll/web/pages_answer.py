"""The answer page: the reply in six sentences, then the evidence, one section for each question of the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reroll.answer import NotExamined, Price
from reroll.case import Case
from reroll.conclude import bounds
from reroll.errors import RerollError, UsageError
from reroll.factors import factors_of
from reroll.numbers import percent
from reroll.program import Program
from reroll.project import Project
from reroll.store import Store, StoredReport
from reroll.store_rows_web import Job
from reroll.web import figured
from reroll.web.actions import PERSON_BUDGET, Offer, offer
from reroll.web.blamed import request_with
from reroll.web.gathered import Gathered, answer_of, changed_since, gathered
from reroll.web.home import Home
from reroll.web.plainly import fixes_sentence, next_step, place_of, token_sentence
from reroll.web.view import WIDE, environment, page
from reroll.words import certify_sentence, headline, luck_sentence, rate_sentence, retry_sentence

__all__ = ["CASE", "ROUTES", "can_be_fixed", "case_named", "project_now", "sent", "warm", "words_of"]

KIND = {"worse_than_reference": "fail", "bad_luck": "pass", "not_reproduced": "pass", "undecided": "invalid"}
STATUSES = ("open", "looking into it", "mended", "works as meant", "cannot be mended")
QUOTED = (
    "user",
    "input",
    "system",
    "documents",
    "examples",
    "history",
    "tools",
)  # parts whose words are the text itself
NOT_COMPARED = "It was not compared with ordinary requests yet."
NOTHING = NotExamined("", Price(None, None))
AT = {
    "rerun": "again",
    "certify": "reliable",
    "cause": "why",
    "forks": "token",
    "try": "fixes",
    **dict.fromkeys(("futures", "phrase", "audit", "surprise", "neighbours"), "more"),
}
SECTIONS = ("", *dict.fromkeys(AT.values()))
MOST_WARMED = 20  # answers
LATER = 10  # runs that "run it again" makes at most


def case_named(home: Home, id: str) -> Case:
    """The case as the project has it now, else as the store had it last. Raises: UsageError for neither."""
    try:
        project = home.project()
        found = next((c for c in (*project.cases, *project.reported) if c.id == id), None)
    except RerollError as broken:
        try:
            return home.store.get_case(id)
        except UsageError:  # it may well be in the file that cannot be read
            raise broken from None
    return found or home.store.get_case(id)


def sent(program: Program, case: Case) -> Sequence[Mapping[str, Any]]:
    """The messages as they are sent for this case; empty where the program has none that can be shown."""
    try:
        messages = program.render(case.input, case.history).body.get("messages")
    except (RerollError, ValueError, KeyError):
        return ()
    return [m for m in messages if isinstance(m, Mapping)] if isinstance(messages, list) else ()


def words_of(project: Project | None, case: Case) -> dict[str, str]:
    """What each part of the request is called by its id, in words that a colleague knows; empty if none is known."""
    if project is None:
        return {}
    try:
        known = factors_of(project.program, case.input, case.history).all
    except (RerollError, ValueError):
        return {}
    return {one.id: f"“{one.words}”" if one.id.split(".")[0] in QUOTED else one.words for one in known}


def warm(home: Home) -> None:
    """Draw once what the newest answers show, so that whoever opens one first waits no longer than the others."""
    try:
        environment().get_template("answer.html")
        newest = home.store.findings(command=("investigate", "rerun", "certify"), limit=MOST_WARMED)
        for case_id in dict.fromkeys(one.case_id for one in newest if one.case_id):
            answer = gathered(home.store, case_id).answer
            for draw in [] if answer is None else figured.of_answer(answer).values():
                draw(WIDE)
    except RerollError:  # the pages say so themselves
        return


def report_page(request: Request) -> Response:
    home: Home = request.app.state.home
    id = request.path_params["id"]
    reports = home.store.reports()
    report = next((r for r in reports if r.id == id), None)
    if report is None:
        raise UsageError(f"there is no report `{id}`", slug="unknown-report")
    number = next(i for i, r in enumerate(reports, 1) if r.id == id)
    return _answer(request, case_named(home, report.report.case_id), report, number)


def case_page(request: Request) -> Response:
    return _answer(request, case_named(request.app.state.home, request.path_params["id"]))


def _answer(request: Request, case: Case, report: StoredReport | None = None, number: int | None = None) -> Response:
    home: Home = request.app.state.home
    known = gathered(home.store, case.id, None if report is None else report.id)
    jobs = _jobs(home.store, case.id, request.query_params.get("job"), known)
    marks = {} if report is None else home.store.report_marks([report.id]).get(report.id, {})
    figures = {} if known.answer is None else figured.of_answer(known.answer)
    if known.again is not None and known.again[1].outcomes:
        again = known.again[1]
        figures["again"] = lambda width: figured.of_again(again, width)
    if "forks" in known.found:
        figures["curve"] = lambda width: figured.of_forks(known.found["forks"][1], width)
    project = project_now(home)
    changed = ""
    if project is not None and known.finding is not None:
        changed = changed_since(case, project.program.id, known.finding, known.answer)
    return page(
        request,
        "answer.html",
        figures=figures,
        case=case,
        report=report,
        number=number,
        marks=marks,
        statuses=STATUSES,
        known=known,
        answer=known.answer,
        jobs=jobs,
        at={section: [job for job in jobs if _section(job, known) == section] for section in SECTIONS},
        failed=None,  # said where its button stands
        messages=[] if project is None else sent(project.program, case),
        sentences=_sentences(known, project),
        next=next_step(known.luck, known.cause, known.cards, changed),
        ends=None if known.luck is None else bounds(known.luck, known.certify or NOTHING),
        head=_head(known),
        offers={} if project is None else _offers(home, project, case, known),
        listed=project is not None and any(one.id == case.id for one in project.cases),
        words=words_of(project, case),
        place=place_of(known.dud, known.found["forks"][1]) if known.dud and "forks" in known.found else None,
        request_said=[]
        if project is None or known.cause is None
        else request_with(project.program, case, sent(project.program, case), known.cause.factors),
        changed=changed,
    )


def _jobs(store: Store, case_id: str, asked: str | None, known: Gathered) -> list[Job]:
    """The jobs of this case that go on; and one that failed, if it was asked for or was to give the first answer."""
    jobs = store.jobs(states=("waiting", "running"), case_id=case_id)
    if asked:
        more = [] if any(job.id == asked for job in jobs) else [store.job(asked)]
    else:
        more = [] if jobs or known.answer is not None else store.jobs(case_id=case_id, limit=1)
    return [*jobs, *(job for job in more if job.state == "failed")]


def _section(job: Job, known: Gathered) -> str:
    """Where on the page its button stands: there it is seen at work."""
    return "" if known.answer is None else AT.get(job.words[0], "")


def project_now(home: Home) -> Project | None:
    """The project; None while its files cannot be read."""
    try:
        return home.project()
    except RerollError:
        return None


def _head(known: Gathered) -> tuple[str, str] | None:
    """Colour and words of what is most worth knowing: bad luck or not; where nobody asked that, the target."""
    if known.answer is None:
        return None
    luck, certify = known.luck, known.certify
    if luck is None or (luck.reference.source == "none" and luck.verdict == "undecided" and certify is not None):
        target = "" if certify is None else percent(certify.target)
        if certify is not None and certify.verdict != "undecided":
            return {"met": ("pass", f"{target} reliable"), "not_met": ("fail", f"Not {target} reliable")}[
                certify.verdict
            ]
    return "invalid" if luck is None else KIND[luck.verdict], headline(known.answer.luck)


def _sentences(known: Gathered, project: Project | None) -> dict[str, str]:
    """The sentence of each section, as the reply has it."""
    luck, certify = known.luck, known.certify
    said: dict[str, str] = {}
    if luck is not None:
        low, high = bounds(luck, certify or NOTHING)
        said["rate"] = rate_sentence(luck.rate, low, high, fresh=known.fresh)
        controls = project is not None and any(one.set == "control" and one.checks for one in project.cases)
        asked = luck.reference.source != "none" or luck.verdict != "undecided" or not controls
        said["luck"] = luck_sentence(luck) if asked else NOT_COMPARED
        said["retry"] = retry_sentence(luck, low, high)
    if certify is not None:
        said["certify"] = certify_sentence(certify)
    if known.dud is not None:
        said["token"] = token_sentence(known.dud)
    if known.cards:
        said["fixes"] = fixes_sentence(known.cards)
    return said


def _offers(home: Home, project: Project, case: Case, known: Gathered) -> dict[str, Offer]:
    """What may be done from here, each with its price."""
    if not project.has(case.id):  # it is only in the store
        return {}
    made = {
        "again": offer(
            home, project, "rerun", label=f"Run it again, up to {LATER} times", budget=LATER, case=case.id, fresh="yes"
        ),
        "measure": offer(
            home,
            project,
            "investigate",
            label="Measure it" if known.answer is None else "Run it until that is known",
            budget=PERSON_BUDGET if case.asks_a_person else None,
            case=case.id,
            forks="no",
            cause="no",
            fixes="no",
        ),
        "cause": offer(home, project, "cause", label="Find out why", case=case.id),
        "futures": offer(home, project, "futures", label="List what it can say", case=case.id),
        "audit": offer(home, project, "audit", label="Find out what varies", case=case.id),
        "phrase": offer(home, project, "phrase", label="Try other wordings", case=case.id),
        "neighbours": offer(home, project, "neighbours", label="Make similar requests", case=case.id),
    }
    if can_be_fixed(project, case):
        made["suggest"] = offer(home, project, "try", label="Suggest changes and try them", case=case.id, suggest="4")
    target = project.program.target or 0.99
    if known.certify is None or known.certify.verdict == "undecided" or known.certify.target != target:
        made["certify"] = offer(
            home, project, "certify", label=f"Can we say {percent(target)}?", case=case.id, target=f"{target:g}"
        )
    if known.answer is not None:
        failing = next((s for s in known.answer.samples if s.outcome == "fail"), None)
        if failing is not None:
            made["forks"] = offer(home, project, "forks", label="Find the token", case=case.id, sample=failing.id)
    return made


def can_be_fixed(project: Project, case: Case) -> bool:
    """Whether a fix can be tried on it: without requests like it nothing tells a fix from a special case."""
    return any(one.of == case.id and one.set == "neighbour" for one in project.cases)


def finding_page(request: Request) -> Response:
    """Any finding whole; one that is part of an answer is shown there."""
    home: Home = request.app.state.home
    store: Store = home.store
    found = store.finding(request.path_params["id"])
    body = store.finding_body(found.id)
    if request.query_params.get("as") == "json":
        return JSONResponse(body, headers={"content-disposition": f'attachment; filename="{found.id}.json"'})
    if request.query_params.get("whole") is None and (place := _place(store, found, body)) is not None:
        return RedirectResponse(place, 303)
    return page(request, "finding.html", found=found, body=body)


def _place(store: Store, found: Any, body: Mapping[str, Any]) -> str | None:
    """Where a finding is shown best, if it is the newest of its kind."""
    from urllib.parse import quote

    case = None if found.case_id is None else quote(found.case_id, safe="")
    newest = store.findings(command=found.command, case_id=found.case_id, limit=1) if case else []
    if case is None or not newest or newest[0].id != found.id:
        return None
    if found.command in ("investigate", "rerun", "certify") and answer_of(body) is not None:
        reported = found.command == "investigate" and (body.get("report") or {}).get("words")
        return f"/reports/{found.report_id}" if reported else f"/cases/{case}"
    return {"cause": f"/cases/{case}/cause", "try": f"/cases/{case}/fixes", "forks": f"/tokens/{found.sample_id}"}.get(
        found.command
    )


ROUTES = [
    Route("/reports/{id}", report_page),
    Route("/findings/{id}", finding_page),
]
# The last of all: an id may have slashes, and what follows one may be the name of another page.
CASE = Route("/cases/{id:path}", case_page)
