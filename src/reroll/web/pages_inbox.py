"""The inbox: what people reported, the newest first, each with its one-line answer; and the form for a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.errors import RerollError, UsageError
from reroll.store import StoredReport
from reroll.store_rows import clean
from reroll.store_rows_web import Finding, Job
from reroll.web.access import Refused, Visitor, form_of, visitor_of
from reroll.web.actions import ACTIONS, ask, offer
from reroll.web.gathered import changed_since, standing
from reroll.web.home import Home
from reroll.web.jobs import wake
from reroll.web.reporting import free_budget, how_measured, input_names, report_of, said_once
from reroll.web.view import page

__all__ = ["ROUTES", "Card", "Row", "Shown", "cards_of", "rows"]

EACH_PAGE = 50
MOST_FINDINGS = 5000  # that are looked through for reports without an answer of their own
KIND = {"worse_than_reference": "fail", "bad_luck": "pass", "not_reproduced": "pass"}
WORDS = {"worse_than_reference": "not just bad luck", "bad_luck": "bad luck", "not_reproduced": "not reproduced"}


@dataclass(frozen=True, slots=True)
class Row:
    """One report as the inbox shows it. number: its place among all; like: the place of one that it looks like."""

    number: int
    stored: StoredReport
    finding: Finding | None
    job: Job | None
    status: str
    owner: str
    like: int | None
    cause: str

    @property
    def line(self) -> str:
        if self.finding is not None and self.finding.line:
            return self.finding.line
        if self.job is not None:
            return {"failed": f"It could not be measured: {self.job.message}"}.get(
                self.job.state, "Being measured now."
            )
        return "Not measured yet."

    @property
    def earlier(self) -> bool:
        """Whether what is said of it was measured before it was reported."""
        return self.finding is not None and self.finding.made_us < 1e6 * self.stored.put

    @property
    def badge(self) -> tuple[str, str]:
        """Colour and words of its verdict."""
        verdict = "" if self.finding is None else self.finding.verdict
        return KIND.get(verdict, "invalid" if self.finding else ""), WORDS.get(
            verdict, "not known yet" if self.finding else ""
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of the inbox. counts: reports of each status; older: the number that the next page begins before."""

    rows: Sequence[Row]
    counts: Mapping[str, int]
    total: int
    older: int | None


def rows(home: Home, status: str = "", before: int | None = None) -> Shown:
    """The reports that somebody made in words, the newest first; the same words about the same case are one."""
    store = home.store
    shown = sorted(said_once(store.reports()), key=lambda pair: -pair[0])
    marks = store.report_marks([r.id for _, r in shown])
    counts = Counter(marks.get(r.id, {}).get("status", "open") for _, r in shown)
    total, first = len(shown), {r.report.case_id: i for i, r in shown}  # the earliest comes last
    fitting = [(i, r) for i, r in shown if status in ("", marks.get(r.id, {}).get("status", "open"))]
    fitting = [(i, r) for i, r in fitting if before is None or i < before]
    shown = fitting[:EACH_PAGE]
    findings = store.newest_of_reports([r.id for _, r in shown])
    of_cases: dict[str, Finding] = {}
    for one in store.findings(command="investigate", limit=MOST_FINDINGS):
        of_cases.setdefault(one.case_id or "", one)
    jobs = {job.report_id: job for job in reversed(store.jobs(limit=500)) if job.report_id}
    out = []
    for i, r in shown:
        finding = findings.get(r.id) or of_cases.get(r.report.case_id)
        mark = marks.get(r.id, {})
        like = first[r.report.case_id] if first[r.report.case_id] != i else None
        job = jobs.get(r.id)
        out.append(
            Row(
                i,
                r,
                finding,
                job if job is not None and (finding is None or job.active) else None,
                mark.get("status", "open"),
                mark.get("owner", ""),
                like,
                "",
            )
        )
    return Shown(out, counts, total, shown[-1][0] if len(fitting) > EACH_PAGE else None)


def inbox(request: Request) -> Response:
    home: Home = request.app.state.home
    wanted = request.query_params.get("status", "")
    asked = request.query_params.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else None
    return page(request, "inbox.html", shown=rows(home, wanted, before), wanted=wanted, cards=cards_of(home))


@dataclass(frozen=True, slots=True)
class Card:
    """A case as the home page shows it. asked: its request in words; line: what its page says first; changed: what has
    changed since then."""

    id: str
    asked: str
    line: str
    changed: str


def cards_of(home: Home) -> Sequence[Card]:
    """The project's cases, each with the answer that its own page shows."""
    try:
        project = home.project()
    except RerollError:
        return []
    known = standing(home.store)
    cards = []
    for case in project.cases:
        if case.set == "case":
            found = known.get(case.id)
            line = "not measured yet" if found is None else found[0].line
            since = "" if found is None else changed_since(case, project.program.id, *found)
            asked = " · ".join(one for one in case.input.values() if isinstance(one, str))
            cards.append(Card(case.id, asked, line, since))
    return cards


def new_report(request: Request) -> Response:
    return _form(request, {})


def _form(request: Request, told: dict[str, str], wrong: str = "", status: int = 200) -> Response:
    home: Home = request.app.state.home
    project = home.project()
    names = input_names(project)
    return page(
        request,
        "report_new.html",
        status=status,
        names=names,
        told=told,
        wrong=wrong,
        program=project.program,
        examples=[c for c in project.cases if c.set == "case"][:6],
        price=offer(home, project, "investigate", budget=free_budget(project)).price,
        fields=_fields(project.program.response),
    )


def _fields(schema: object) -> list[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return list(properties) if isinstance(properties, dict) else []


async def take_report(request: Request) -> Response:
    """Keep a report before anything is run, then measure it."""
    form, who = await form_of(request), visitor_of(request)
    told = {key: str(form[key]) for key in form if key != "mark"}
    try:
        id = await run_in_threadpool(_taken, request.app.state.home, told, who)
    except UsageError as error:
        again = {key: clean(text) for key, text in told.items()}
        return await run_in_threadpool(_form, request, again, str(error), 422)
    wake(request)
    return RedirectResponse(f"/reports/{id}", 303)


def _taken(home: Home, told: dict[str, str], who: Visitor) -> str:
    if not who.may_run:
        raise Refused(403, "your access lets you read, not run; ask whoever gave it to you for the scope `run`")
    project = home.project()
    if not input_names(project):
        raise UsageError(
            "this project's program is one fixed request, so there is nothing to fill in; ask about one of its cases",
            slug="serve-field",
        )
    report, case = report_of(home, project, told, told.get("by", "").strip()[:60] or who.name)
    program_id = home.store.put_program(project.program)
    home.store.put_case(case)
    id = home.store.put_report(report, program_id)
    told = {"case": case.id, "words": report.words, **how_measured(project, case)}
    ask(home, ACTIONS["investigate"], told, who, report_id=id)
    return id


async def mark(request: Request) -> Response:
    """Keep a report's status and owner."""
    form, who = await form_of(request), visitor_of(request)
    id = request.path_params["id"]
    await run_in_threadpool(_mark, request.app.state.home, id, form, who.name)
    return RedirectResponse(f"/reports/{id}#report", 303)


def _mark(home: Home, id: str, form: FormData, by: str) -> None:
    known = home.store.report_marks([id]).get(id, {})
    for what in ("status", "owner"):
        value = str(form.get(what, ""))[:60]
        if what in form and value != known.get(what, ""):
            home.store.mark_report(id, what, value, by)


ROUTES = [
    Route("/", inbox),
    Route("/reports/new", new_report, methods=["GET"]),
    Route("/reports", take_report, methods=["POST"]),
    Route("/reports/{id}/marks", mark, methods=["POST"]),
]
