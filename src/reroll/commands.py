"""The commands that measure: open, run, print, and an exit code that a gate can trust."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reroll.answer import Answer, to_json
from reroll.arguments import Certify, Common, Pictures, Spending
from reroll.asking import choose, person_of
from reroll.case import Case, Report
from reroll.causing import other_models
from reroll.certifying import Goal, certify_cases
from reroll.doubting import MOST_ANEW
from reroll.errors import UsageError
from reroll.intake.reported import Told, read_report, request_of
from reroll.intake.single import Single
from reroll.investigation import Asked
from reroll.investigation import investigate as run_investigation
from reroll.measuring import with_sessions
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.options import chosen_cases, margin_of, options_of, target_of, within_reach
from reroll.output import print_json, say
from reroll.pictures import can_be_drawn, nothing_to_draw, present
from reroll.program import Program
from reroll.project import Project
from reroll.scorecard import Rules
from reroll.store import Store

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["certify", "demo", "investigate", "rerun"]

DEMO_WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
DEMO_BUDGET = 1200
GATES = {"met": 0, "not_met": 1, "worse_than_reference": 1, "undecided": 3}
BROKE_OFF = 4

T = TypeVar("T")


def investigate(
    told: Told,
    target: float | None,
    besides: tuple[bool | None, bool | None, bool | None],
    margin: float | None,
    common: Common,
    spending: Spending,
    pictures: Pictures,
) -> int:
    can_be_drawn(pictures)
    forks, cause, fixes = besides
    if margin is not None and fixes is False:
        raise UsageError("--margin says what harm a fix may do, and --no-fixes leaves fixes out", slug="try")
    goal, project = target_of(target), project_of(common, told)
    harm = margin_of(margin, project.program.margin or Rules().margin)
    with store_of(common, project) as store:
        call = request_of(told, project, store)
        report, project, case = _report(told, project, store, spending, call)
        fidelity = call.taken.fidelity if call else "exact" if told.sample is not None else "rebuilt"
        known = call.caveats if call else ()
        asked = Asked(report, case, "luck", goal, fidelity, forks, cause, fixes, _teller(spending), harm, known)
        answer = _measure(project, store, asked, spending)
    name = f"reroll investigate {answer.case['id']}"
    return _finish(name, answer, "answer", answer, common, spending, pictures)


def rerun(case: str, common: Common, spending: Spending, pictures: Pictures) -> int:
    can_be_drawn(pictures)
    project = project_of(common)
    with store_of(common, project) as store:
        report, project, chosen = _report(Told(case=case), project, store, spending)
        answer = _measure(project, store, Asked(report, chosen), spending)
    return _finish(f"reroll rerun {case}", answer, "luck", answer.luck, common, spending, pictures)


def certify(told: Certify, common: Common, spending: Spending, pictures: Pictures) -> int:
    if told.explain:
        nothing_to_draw("certify --explain", pictures)
        return _explain(told, common, spending)
    can_be_drawn(pictures)
    project = project_of(common)
    goal = target_of(told.target) or project.program.target
    if goal is None:
        raise UsageError("no target: pass --target 0.99, or put `target: 0.99` into program.yaml", slug="no-target")
    options = options_of(spending)
    within_reach(goal, options)
    about, cases = chosen_cases(told, project)
    if about == "case" and not told.each_check:
        with store_of(common, project) as store:
            report, project, chosen = _report(Told(case=cases[0].id), project, store, spending)
            answer = _measure(project, store, Asked(report, chosen, "certify", goal), spending)
        gate, name = replace(spending, gate=True), f"reroll certify {chosen.id}"
        return _finish(name, answer, "certify", answer.certify, common, gate, pictures)
    if about == "suite" and len(cases) > 1 and options.horizon is not None:
        raise UsageError(
            "a horizon buys nothing for a suite, whose rounds are tested open-ended; leave --horizon out",
            slug="horizon",
        )
    if about == "suite" and 0 < options.budget < len(cases):
        raise UsageError(
            f"--budget {options.budget} is too small: a round takes {counts('call', len(cases))}, one for each case",
            slug="budget",
        )
    wanted = Goal(about, cases, goal, told.each_check)
    with store_of(common, project) as store:
        found = _with_session(
            project, store, spending, cases, lambda session: certify_cases(session, wanted), controls=False
        )
    from reroll.render.certified import show_certified

    plain = to_json(found)
    present(
        f"reroll certify --about {about}",
        lambda: {"schema": "reroll.certify/1", **plain.pop("certify"), **plain},
        lambda page: show_certified(found, page),
        common,
        pictures,
    )
    return GATES[found.certify.verdict] if found.finished else BROKE_OFF


def _explain(told: Certify, common: Common, spending: Spending) -> int:
    """The rule and its table; it needs a project only for what is not said."""
    from reroll.explain import explain

    goal, options, size = target_of(told.target), options_of(spending), 1
    if goal is None or told.about == "suite":
        project = project_of(common)
        goal = goal or project.program.target
        size = len(chosen_cases(told, project)[1]) if told.about == "suite" else 1
    if goal is None:
        raise UsageError("no target: pass --target 0.99, or put `target: 0.99` into program.yaml", slug="no-target")
    within_reach(goal, options)
    rule = explain(goal, options.alpha, options.horizon if size == 1 else None, size, spending.budget)
    if common.json:
        print_json(to_json(rule, "reroll.explain/1"))
    else:
        from reroll.render.certified import explained_text

        print(explained_text(rule))
    return 0


def demo(common: Common, spending: Spending, pictures: Pictures) -> int:
    from reroll.init import init_project

    can_be_drawn(pictures)
    with tempfile.TemporaryDirectory(prefix="reroll-demo-") as folder:
        home = Path(folder) / "meetings"
        init_project(home)
        here = replace(common, project=home, store=None)
        project = project_of(here)
        # Calls cost nothing here, and the answer is to show all that can be known.
        spending = spending if spending.budget is not None else replace(spending, budget=DEMO_BUDGET, yes=True)
        with store_of(here, project) as store:
            report, project, case = read_report(Told(words=DEMO_WORDS), project, store, choose)
            answer = _measure(project, store, Asked(report, case, forks=None, cause=None), spending)
    code = _finish("reroll demo", answer, "answer", answer, common, spending, pictures)
    if not common.json:
        print(
            "\nThis was a real language model, small enough to ship with reroll. The demo left nothing\n"
            "behind: the commands named above need a project. Make the example yours:\n"
            "  reroll init meetings && cd meetings && reroll investigate --case next-friday",
            file=sys.stderr,
        )
    return code


def _teller(spending: Spending) -> Callable[[str], None]:
    """What says on stderr what a search will take, before it starts."""
    return (lambda words: None) if spending.quiet else say


def _report(
    told: Told, project: Project, store: Store, spending: Spending, call: Single | None = None
) -> tuple[Report, Project, Case]:
    return read_report(told, project, store, choose, person_of(spending) is not None, call)


def _measure(project: Project, store: Store, asked: Asked, spending: Spending) -> Answer:
    cases = (asked.case, *(c for c in project.cases if c.set == "control" and asked.question == "luck"))
    others = other_models(project.program) if asked.cause or (asked.cause is None and project.program.runs_here) else []
    if not asked.cause:  # only models that run here cost nothing
        others = [program for program in others if program.runs_here]
    return _with_session(
        project,
        store,
        spending,
        cases,
        lambda session, *others: run_investigation(session, asked, others),
        controls=len(cases) > 1,
        others=others,
        anew=MOST_ANEW if asked.cause or (asked.cause is None and project.program.runs_here) else 0,
    )


def _with_session(
    project: Project,
    store: Store,
    spending: Spending,
    cases: Sequence[Case],
    work: Callable[..., Coroutine[Any, Any, T]],
    *,
    controls: bool,
    others: Sequence[Program] = (),
    anew: int = 0,
) -> T:
    """`work` on the session, and on one for each other program.

    `controls`: all cases but the first are control cases, of which few calls are made; `anew`: how often at most a
    judge is asked about the same answers again.
    """
    priced = cases[:1] if controls else cases
    projects = [project, *(replace(project, program=program) for program in others)]
    names = ["baseline", *(f"model={program.model}" for program in others)]
    return with_sessions(
        projects, store, spending, cases, priced, lambda sessions: work(*sessions), controls, names, anew=anew
    )


def _finish(
    name: str, answer: Answer, schema: str, section: Any, common: Common, spending: Spending, pictures: Pictures
) -> int:
    """Print the section (or the whole answer), draw it where that was asked for, and say how it went.

    A run that did not finish never exits 0: 4 when it was stopped or the server went away.
    """

    def plain() -> dict[str, Any]:
        found: dict[str, Any] = to_json(section, f"reroll.{schema}/1")
        return found if section is answer else found | _about(answer)

    present(
        name,
        plain,
        lambda page: _show(answer, schema, page),
        common,
        pictures,
        keep=lambda: to_json(answer, "reroll.answer/1"),
    )
    if not answer.finished:
        return BROKE_OFF
    if not spending.gate:
        return 0
    verdict = section if section is not answer else answer.luck
    return GATES.get(getattr(verdict, "verdict", "undecided"), 0)


def _about(answer: Answer) -> dict[str, Any]:
    """What a section alone does not say: of what it speaks, and what a reader must know beside it."""
    names = ("case", "program", "model", "alpha_total", "cost", "caveats", "stopped", "finished", "reading")
    return {name: to_json(getattr(answer, name)) for name in names}


def _show(answer: Answer, schema: str, page: Console) -> None:
    from reroll.render import terminal

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
