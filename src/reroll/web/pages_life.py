"""A report's whole life on one page: reported, measured, explained, mended, held by a test, watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.applying import still_in
from reroll.case import Case
from reroll.errors import UsageError
from reroll.ledger import APPLIED, TRIED, fix_in
from reroll.numbers import counts
from reroll.project import Project
from reroll.store import Store, StoredReport
from reroll.store_rows import Decision
from reroll.suite_gate import RULE
from reroll.web.gathered import earlier_cause, gathered
from reroll.web.home import Home
from reroll.web.pages_answer import case_named, project_now
from reroll.web.reporting import said_once
from reroll.web.view import page

__all__ = ["ROUTES", "Moment", "Step", "moments_of", "steps_of"]

MOST = 200  # moments on a page


@dataclass(frozen=True, slots=True)
class Step:
    """One of the six steps. said: what came of it, or what takes it; link: where it is shown whole."""

    title: str
    done: bool
    said: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, in a sentence. at_us: UTC microseconds."""

    at_us: int
    said: str
    link: str = ""


def of_report(request: Request) -> Response:
    home: Home = request.app.state.home
    id = request.path_params["id"]
    report = next((one for one in home.store.reports() if one.id == id), None)
    if report is None:
        raise UsageError(f"there is no report `{id}`", slug="unknown-report")
    return _life(request, case_named(home, report.report.case_id))


def of_case(request: Request) -> Response:
    return _life(request, case_named(request.app.state.home, request.path_params["id"]))


def _life(request: Request, case: Case) -> Response:
    home: Home = request.app.state.home
    mine = [one for _, one in said_once(home.store.reports()) if one.report.case_id == case.id and one.report.words]
    steps, moments = steps_of(home.store, project_now(home), case, mine), moments_of(home.store, case, mine)
    return page(request, "life.html", case=case, steps=steps, moments=moments[:MOST])


def steps_of(store: Store, project: Project | None, case: Case, reports: Sequence[StoredReport]) -> list[Step]:
    """The six steps from a report to a test and a watch, in their order."""
    at = quote(case.id, safe="")
    known, decisions = gathered(store, case.id), store.decisions(case_id=case.id)
    cause = known.cause or ((earlier := earlier_cause(store, case.id)) and earlier[1])
    tried, applied = [d for d in decisions if d.rule == TRIED], _applied(store, case)
    inside = [d for d in applied if project is None or still_in(_evidence(d), project.program)]
    by = reports[0].report.by if reports else None
    said = f"{counts('report', len(reports))}, the first by {by}" if by else counts("report", len(reports))
    return [
        Step("Reported", bool(reports), said if reports else "Nobody reported it; it is a case of the project."),
        Step(
            "Measured",
            known.finding is not None,
            known.finding.line if known.finding else "Not measured yet: press “Measure it” on its page.",
            f"/cases/{at}",
        ),
        Step(
            "Explained",
            cause is not None and cause.verdict != "undecided",
            cause.brief if cause else "Why it fails was not looked for yet.",
            f"/cases/{at}/cause",
        ),
        Step("Mended", _was_accepted(tried, inside), _mended(tried, applied, inside), f"/cases/{at}/fixes"),
        _held(project, case, decisions),
        _watched(store, reports),
    ]


def _mended(tried: Sequence[Decision], applied: Sequence[Decision], inside: Sequence[Decision]) -> str:
    if inside:
        said = f"The fix {_fix(inside[-1])} was applied"
        shown = "it was accepted when it was tried" if _was_accepted(tried, inside) else "no trial has accepted it"
        return f"{said}; {shown}."
    if applied:
        return f"The fix {_fix(applied[-1])} was applied, and is not in the program any more."
    accepted = [d for d in tried if d.verdict == "accept"]
    if accepted:
        return f"The fix {_fix(accepted[-1])} was accepted, and is not applied: `reroll apply {_fix(accepted[-1])}`."
    return f"{counts('trial', len(tried))} of fixes, none accepted." if tried else "No fix was tried yet."


def _was_accepted(tried: Sequence[Decision], inside: Sequence[Decision]) -> bool:
    """Whether a fix that is in the program was shown to help: being applied shows nothing."""
    accepted = {fix_in(d.evidence).get("id") for d in tried if d.verdict == "accept"}
    return any(fix_in(d.evidence).get("id") in accepted for d in inside)


def _held(project: Project | None, case: Case, decisions: Sequence[Decision]) -> Step:
    """Whether the suite holds it."""
    suite = project is not None and any(one.id == case.id for one in project.cases)
    if not suite or not case.checks:
        return Step("Held by a test", False, "It is in no suite: `reroll apply` puts it there with its fix.")
    last = next((d for d in reversed(decisions) if d.rule == RULE), None)
    came = f"; the last run was {last.verdict}" if last else ", and has not yet"
    held = last is not None and last.verdict == "green"
    return Step("Held by a test", held, f"`pytest --reroll .` runs it{came}.")


def _watched(store: Store, reports: Sequence[StoredReport]) -> Step:
    """Whether an alarm of a watch was about it, and whether that is shown to be over."""
    alarms = store.alarms_of([one.id for one in reports])
    if not alarms:
        return Step(
            "Watched", False, "No alarm in production was about it; `watch.yaml` says what is watched.", "/watch"
        )
    still = next((one for one in alarms if one.state == "open"), None)
    said = alarms[0].body.get("over") if still is None else still.body.get("words")
    return Step("Watched", still is None, str(said or ""), "/watch")


def moments_of(store: Store, case: Case, reports: Sequence[StoredReport]) -> list[Moment]:
    """All that happened to a case, the newest first."""
    made = [
        Moment(
            round(one.put * 1e6), f"{one.report.by or 'Somebody'} reported: “{one.report.words}”", f"/reports/{one.id}"
        )
        for one in reports
    ]
    made += [
        Moment(one.made_us, f"{one.command}: {one.line or one.verdict}", f"/findings/{one.id}")
        for one in store.findings(case_id=case.id, limit=MOST)
    ]
    made += [
        Moment(one.at_us, f"{one.by or 'Somebody'} set the {one.what} to “{one.value}”")
        for one in store.marks_said([one.id for one in reports])
    ]
    made += [Moment(round(d.made * 1e6), f"The fix {_fix(d)} was applied") for d in _applied(store, case)]
    made += [
        Moment(round(d.made * 1e6), f"The test of the suite was {d.verdict}")
        for d in store.decisions(rule=RULE, case_id=case.id)
    ]
    put = {one.id: round(one.put * 1e6) for one in reports}
    made += [  # calls of the past may have shown it: still it was known only after the report
        Moment(max(one.resolved_us, put[one.report_id or ""] + 1), str(one.body.get("over") or ""), "/watch")
        for one in store.alarms_of([one.id for one in reports])
        if one.resolved_us is not None
    ]
    return sorted(made, key=lambda one: -one.at_us)


def _applied(store: Store, case: Case) -> list[Decision]:
    return [d for d in store.decisions(rule=APPLIED) if case.id in _evidence(d).get("cases", ())]


def _fix(decision: Decision) -> str:
    return str(fix_in(decision.evidence).get("fix") or "without a name")


def _evidence(decision: Decision) -> dict[str, Any]:
    return decision.evidence if isinstance(decision.evidence, dict) else {}


ROUTES = [Route("/reports/{id}/life", of_report), Route("/cases/{id:path}/life", of_case)]
