"""The commands that measure: open, run, print, and an exit code that a gate can trust."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from reroll.answer import Answer, to_json
from reroll.arguments import Common, Spending
from reroll.asking import asks_on_screen, choose, person_of, price_agreed
from reroll.case import Case, Report
from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.intake.reported import Told, read_report
from reroll.investigation import Asked
from reroll.investigation import investigate as run_investigation
from reroll.opening import model_of, project_of, run, stopping_cleanly, store_of
from reroll.options import can_be_capped, can_be_measured, options_of, target_of, writable
from reroll.output import console, print_json
from reroll.project import Project
from reroll.runner import Session
from reroll.settings import setting
from reroll.store import Store

__all__ = ["certify", "demo", "investigate", "rerun"]

DEMO_WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
GATES = {"met": 0, "not_met": 1, "worse_than_reference": 1, "undecided": 3}
BROKE_OFF = 4


def investigate(told: Told, target: float | None, common: Common, spending: Spending) -> int:
    goal, project = target_of(target), project_of(common, told)
    with store_of(common, project) as store:
        report, project, case = _report(told, project, store, spending)
        exact = told.request is not None or told.sample is not None
        asked = Asked(report, case, "luck", goal, "exact" if exact else "rebuilt")
        answer = _measure(project, store, asked, spending)
    return _finish(answer, "answer", answer, common, spending)


def rerun(case: str, common: Common, spending: Spending) -> int:
    project = project_of(common)
    with store_of(common, project) as store:
        report, project, chosen = _report(Told(case=case), project, store, spending)
        answer = _measure(project, store, Asked(report, chosen), spending)
    return _finish(answer, "luck", answer.luck, common, spending)


def certify(case: str, target: float | None, common: Common, spending: Spending) -> int:
    project = project_of(common)
    goal = target_of(target) or project.program.target
    if goal is None:
        raise UsageError("no target: pass --target 0.99, or put `target: 0.99` into program.yaml", slug="no-target")
    with store_of(common, project) as store:
        report, project, chosen = _report(Told(case=case), project, store, spending)
        answer = _measure(project, store, Asked(report, chosen, "certify", goal), spending)
    return _finish(answer, "certify", answer.certify, common, replace(spending, gate=True))


def demo(common: Common, spending: Spending, svg: Path | None) -> int:
    from reroll.init import init_project

    if svg is not None:
        writable(svg, "--svg")
    with tempfile.TemporaryDirectory(prefix="reroll-demo-") as folder:
        home = Path(folder) / "meetings"
        init_project(home)
        here = replace(common, project=home, store=None)
        project = project_of(here)
        with store_of(here, project) as store:
            report, project, case = read_report(Told(words=DEMO_WORDS), project, store, choose)
            answer = _measure(project, store, Asked(report, case), spending)
    code = _finish(answer, "answer", answer, common, spending)
    if not common.json:
        print(
            "\nThis was a real language model, small enough to ship with reroll. Make the example yours:\n"
            "  reroll init meetings && cd meetings && reroll investigate --case half-seven",
            file=sys.stderr,
        )
    if svg is not None:
        _save_picture(answer, svg)
    return code


def _save_picture(answer: Answer, svg: Path) -> None:
    from reroll.render.svg import save_svg

    try:
        save_svg(answer, svg)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{svg} cannot be written: {problem}; choose another --svg", slug="out") from None


def _report(told: Told, project: Project, store: Store, spending: Spending) -> tuple[Report, Project, Case]:
    return read_report(told, project, store, choose, person_of(spending) is not None)


def _measure(project: Project, store: Store, asked: Asked, spending: Spending) -> Answer:
    """Open the model, ask before spending much, run, and close everything again."""
    from reroll.render.live import Progress

    options, person, program = options_of(spending), person_of(spending), project.program
    quiet = spending.quiet or asks_on_screen(spending, asked.case)
    can_be_measured(program, project.path)
    for case in (asked.case, *(c for c in project.cases if c.set == "control")):
        program.render(case.input, case.history)  # a missing input is known before anything is called

    async def work() -> Answer:
        model = model_of(program.model, program.base_url, project.path)
        try:
            can_be_capped(model, options)
            price_agreed(project, asked, model, options, spending)
            await model.check()
            with (
                Checker(project.path, seconds=setting("check_timeout"), person=person) as checker,
                Progress(quiet=quiet) as progress,
            ):
                session = Session(project, store, model, checker, options, progress.update, fresh=spending.fresh)
                with stopping_cleanly(session):
                    return await run_investigation(session, asked)
        finally:
            await model.close()

    return run(work())


def _finish(answer: Answer, schema: str, section: Any, common: Common, spending: Spending) -> int:
    """Print the section (or the whole answer) and say how it went.

    A run that did not finish never exits 0: 4 when it was stopped or the server went away.
    """
    if common.json:
        plain = to_json(section, f"reroll.{schema}/1")
        print_json(plain if section is answer else plain | _about(answer))
    else:
        _show(answer, schema)
    if not answer.finished:
        return BROKE_OFF
    if not spending.gate:
        return 0
    verdict = section if section is not answer else answer.luck
    return GATES.get(getattr(verdict, "verdict", "undecided"), 0)


def _about(answer: Answer) -> dict[str, Any]:
    """What a section alone does not say: of what it speaks, and what a reader must know beside it."""
    names = ("case", "program", "model", "alpha_total", "cost", "caveats", "stopped", "finished")
    return {name: to_json(getattr(answer, name)) for name in names}


def _show(answer: Answer, schema: str) -> None:
    from reroll.render import terminal

    page = console()
    about: dict[str, Any] = {
        "case_id": answer.case["id"],
        "outcomes": answer.outcomes,
        "cost": answer.cost,
        "stopped": answer.stopped,
        "caveats": answer.caveats,
    }
    if schema == "luck":
        terminal.show_luck(answer.luck, page, **about)
    elif schema == "certify":
        terminal.show_certify(answer.certify, page, **about)
    else:
        terminal.show_answer(answer, page)
