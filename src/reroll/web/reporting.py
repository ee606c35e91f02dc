"""A report as a form brings it: its words, the case that it is about, and what a right answer would have been.

An expectation becomes a check by plain controls only: contains, equals, one field of JSON, or a person who decides.
Nothing that a form brings is ever run as code.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.appending import append_cases, write_cases
from reroll.case import Case, Report
from reroll.check import Check
from reroll.errors import UsageError
from reroll.program import PLACEHOLDER
from reroll.project import REPORTED, Project
from reroll.store import StoredReport
from reroll.web.actions import PERSON_BUDGET
from reroll.web.home import Home

__all__ = ["EXPECTATIONS", "free_budget", "how_measured", "input_names", "report_of", "said_once"]

EXPECTATIONS = ("contains", "equals", "json", "person")
MOST_WORDS = 20_000
FREE_BUDGET = 1200  # calls of a model that runs here: they cost nothing, and the answer is to show all
_writing = threading.Lock()


def input_names(project: Project) -> list[str]:
    """The inputs that a request of this program takes, in the order of its template."""
    program = project.program
    found = [m.group(1) for m in PLACEHOLDER.finditer(program.user) if m.group(1)] if program.raw is None else []
    return list(dict.fromkeys(found))


def said_once(reports: Sequence[StoredReport]) -> list[tuple[int, StoredReport]]:
    """What somebody said, with its place among all reports, from 1; the same words about the same case are one.

    The command that measures a report keeps it again, without a name, and without what was seen where it was not told:
    the one that says who it was stands for both.
    """
    said = {
        (r.report.words, r.report.saw, r.report.case_id): (i, r)
        for i, r in enumerate(reports, 1)
        if r.report.words or r.report.saw
    }
    for i, r in enumerate(reports, 1):
        if r.report.by and (key := (r.report.words, r.report.saw, r.report.case_id)) in said:
            said[key] = (i, r)
    named = {(words, case_id) for (words, _, case_id), (_, r) in said.items() if words and r.report.by}
    return [
        (i, r) for (words, saw, case_id), (i, r) in said.items() if saw or r.report.by or (words, case_id) not in named
    ]


def free_budget(project: Project) -> int | None:
    """Calls that an answer may take where they cost nothing, as the model runs here; None where it does not."""
    return FREE_BUDGET if project.program.runs_here else None


def how_measured(project: Project, case: Case) -> dict[str, str]:
    """How a report of this case is measured first, as the fields of `investigate`: all that is free, else the rate."""
    asked = case.asks_a_person
    free = free_budget(project)
    if asked or free is None:
        told = dict.fromkeys(("forks", "cause", "fixes"), "no")  # each is offered with the answer, with its price
        return told | ({"budget": str(PERSON_BUDGET)} if asked else {})
    return {"budget": str(free)}


def report_of(home: Home, project: Project, form: Mapping[str, str], by: str) -> tuple[Report, Case]:
    """The report, and its case, which is kept so that every command can be asked about it.

    Raises: UsageError where the form does not say what was tried, or what would have been right.
    """
    tried = {name: form.get(f"input.{name}", "").strip() for name in input_names(project)}
    words, saw = form.get("happened", "").strip(), form.get("saw", "").strip()
    if not any(tried.values()):
        raise UsageError("say what was tried: the words that were sent", slug="serve-field")
    for name, value in (*tried.items(), ("what happened", words), ("the answer", saw)):
        if len(value) > MOST_WORDS:
            raise UsageError(
                f"“{name}” has {len(value):,} characters, more than {MOST_WORDS:,}; leave out what is not needed",
                slug="serve-field",
            )
        if "\0" in value:
            raise UsageError(
                f"“{name}” has a character that no request can hold (NUL); take it out", slug="serve-field"
            )
    case = _known(project, tried) if form.get("expect", "") in ("", "as-known") else None
    if case is None:
        case = _kept(home, project, tried, _checks(form))
    shown = next(iter(tried.values())) if len(tried) == 1 else json.dumps(tried, ensure_ascii=False)
    said = words or f"I tried “{shown}” and it didn't work."
    return Report(words=said, case_id=case.id, saw=saw or None, by=by or None), case


def _known(project: Project, tried: Mapping[str, str]) -> Case | None:
    """The case that asks exactly this, and says what is right."""
    every = (*project.cases, *project.reported)
    return next((c for c in every if c.checks and {k: str(v) for k, v in c.input.items()} == dict(tried)), None)


def _checks(form: Mapping[str, str]) -> tuple[Check, ...]:
    kind, value = form.get("expect", "") or "person", form.get("expected", "").strip()
    if kind not in EXPECTATIONS:
        raise UsageError("choose how a right answer is recognised", slug="serve-field")
    if kind == "person":
        return (Check.of("person", value or True, name="a-person-says"),)
    if not value:
        raise UsageError("say what a right answer has in it, or let a person decide", slug="serve-field")
    if kind == "json":
        field = form.get("field", "").strip()
        if not field:
            raise UsageError("say which field of the answer must have this value", slug="serve-field")
        return (Check.of("json", {field: _value(value)}, name=f"{_slug(field)}-is-right"),)
    return (Check.of(kind, value, name="as-expected"),)


def _value(text: str) -> Any:
    """A number, a truth or a list if that is what is written, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _kept(home: Home, project: Project, tried: Mapping[str, str], checks: tuple[Check, ...]) -> Case:
    """The case, written behind those that were reported before; one that is there already is that one."""
    path = home.folder / REPORTED
    with _writing:
        project = home.project()
        taken = {c.id for c in (*project.cases, *project.reported)}
        same = next((c for c in project.reported if c.input == dict(tried) and c.checks == checks), None)
        if same is not None:
            return same
        base = _slug(next(v for v in tried.values() if v)) or "reported"
        id = next(name for name in (base, *(f"{base}-{i}" for i in range(2, 10_000))) if name not in taken)
        case = Case(id=id, input=dict(tried), checks=checks)
        if path.exists():
            append_cases(path, [case], [""])
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_cases(path, [case], ["Reported through the pages; move one into cases.yaml to keep it in the suite."])
    return case


def _slug(text: str, words: int = 5) -> str:
    """A short name that can be typed: the first words in plain letters."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain)[:words])[:48].strip("-")
