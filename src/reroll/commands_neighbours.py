"""The command that makes neighbours and look-alikes of a case, holds them against the baseline and writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reroll.answer import Cost
from reroll.appending import append_cases, can_take_more, write_cases
from reroll.arguments import Common, Pictures, Spending
from reroll.case import Case
from reroll.errors import UsageError
from reroll.lookalikes import lookalikes, near_controls
from reroll.measuring import with_sessions
from reroll.neighbourhood import Neighbourhood, Tried
from reroll.neighbouring import AskedNeighbours, from_wordings, text_input, try_neighbours, written_to
from reroll.neighbours import LOOKALIKE, Neighbour, in_turn, kinds_of, neighbours, new_id, no_kind_why
from reroll.numbers import counts
from reroll.opening import project_of, store_of
from reroll.options import options_of, writable
from reroll.output import say
from reroll.pictures import can_be_drawn, present
from reroll.project import Project, load_project
from reroll.reworded import Dropped
from reroll.session import Session
from reroll.store import Store
from reroll.writing import asks_for_wordings, writer, written_wordings

__all__ = ["Wanted", "make_neighbours"]

BROKE_OFF = 4
MOST = 200  # neighbours at once
RUNS = 64  # of each at most


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which kinds (none: all), how many, so many more from the model, and runs of each; where they go."""

    kinds: tuple[str, ...] = ()
    count: int = 12
    write: int = 0
    runs: int = 4
    out: Path | None = None
    dry_run: bool = False


def make_neighbours(case: str, wanted: Wanted, common: Common, spending: Spending, pictures: Pictures) -> int:
    kinds = _fits(wanted, spending)
    can_be_drawn(pictures)
    project = project_of(common)
    chosen = project.case(case)
    _can_have(project, chosen, wanted)
    by_rule = in_turn(neighbours(chosen, project.program, project.cases, kinds)) if wanted.count else []
    known = (*project.cases, *(one.case for one in by_rule))  # what is a neighbour is no look-alike
    alike = lookalikes(chosen, project.program, known) if wanted.count and LOOKALIKE in kinds else ()
    candidates = in_turn([*by_rule, *alike])
    if not candidates and not wanted.write:
        raise UsageError(
            f"no neighbour of case `{case}` can be made by rule: {no_kind_why(chosen, project.program)}; write some "
            "by hand (`set: neighbour`, `of:`), or ask the model with --write",
            slug="no-neighbours",
        )
    near = tuple((c.id, round(share, 3)) for c, share in near_controls(chosen, project.program, project.cases))
    asked = AskedNeighbours(chosen, tuple(candidates), wanted.count, wanted.runs, near)
    if wanted.dry_run:
        found = _untried(project, asked, wanted)
    else:
        if wanted.out is None:
            can_take_more(project.path / "cases.yaml")
        found = _written_down(project, _tried(project, asked, wanted, common, spending), wanted)
    _show(found, common, pictures)
    return 0 if found.finished or found.dry else BROKE_OFF


def _fits(wanted: Wanted, spending: Spending) -> tuple[str, ...]:
    """The kinds. Raises: UsageError for what makes no sense."""
    if spending.horizon is not None:
        raise UsageError("`neighbours` decides nothing that a horizon could end; leave --horizon out", slug="horizon")
    kinds = kinds_of([name for words in wanted.kinds for name in words.replace(",", " ").split()])
    for option, value, least, most in (("--count", wanted.count, 0, MOST), ("--runs", wanted.runs, 1, RUNS)):
        if not least <= value <= most:
            raise UsageError(f"{option} is a number from {least} to {most}, got {value}", slug="neighbours")
    asks_for_wordings(wanted.write)
    if wanted.count == wanted.write == 0:
        raise UsageError(
            "--count 0 makes none by rule, so say with --write how many are to be written", slug="neighbours"
        )
    if wanted.out is not None and wanted.out.exists() and not wanted.out.is_dir():
        raise UsageError(f"{wanted.out} exists already and was left as it is; choose another --out", slug="out")
    if wanted.out is not None:
        writable(wanted.out, "--out")
    return kinds


def _can_have(project: Project, case: Case, wanted: Wanted) -> None:
    """Raises: UsageError where no neighbour of this case could be made, or held against anything."""
    program = project.program
    if not case.checks:
        raise UsageError(f"case `{case.id}` has no checks, so nothing says what a right answer is", slug="no-check")
    if program.raw is not None or program.model.startswith("recorded:"):
        what = "a stored request, sent as it is" if program.raw is not None else "a recording"
        raise UsageError(
            f"the program is {what}, which answers no other request, so it has no neighbours; name a model that runs",
            slug="no-neighbours",
        )
    if not case.input:
        raise UsageError(f"case `{case.id}` has no input that could be changed; give it one", slug="no-neighbours")
    if wanted.write:
        text_input(case, program)
        if program.is_product:
            raise UsageError(
                "the program is the product itself, which cannot be asked for other words; leave --write out",
                slug="no-neighbours",
            )


# -- trying ------------------------------------------------------------------------------------------------------------


def _untried(project: Project, asked: AskedNeighbours, wanted: Wanted) -> Neighbourhood:
    """What would be tried."""
    taken = asked.candidates[: asked.count]
    order = sorted(taken, key=lambda one: [c.kind for c in taken].index(one.kind))
    return Neighbourhood(
        case=asked.case.id,
        program={"name": project.program.program, "id": project.program.id},
        model=project.program.model,
        tried=tuple(Tried(one, 0, 0, 0, "open", "not run") for one in order),
        near=asked.near,
        most=asked.runs,
        written=wanted.write,
        dropped=(),
        file=None,
        cost=Cost(0, 0, 0, 0, 0, 0.0, 0.0),
        caveats=(),
        dry=True,
        finished=True,
        stopped="nothing was run, as asked",
    )


def _tried(
    project: Project, asked: AskedNeighbours, wanted: Wanted, common: Common, spending: Spending
) -> Neighbourhood:
    options = options_of(spending)
    tries = min(asked.count, len(asked.candidates)) + wanted.write
    if not spending.quiet:
        writing = f"asking the model for {counts('wording', wanted.write)}, a call each; then " if wanted.write else ""
        say(
            f"{writing}{counts('candidate', tries)} run up to {counts('time', asked.runs)} each until one passes: at "
            f"most {counts('call', wanted.write + tries * asked.runs)}, usually far fewer; Ctrl-C stops it, "
            "--budget limits it"
        )
    with store_of(common, project) as store:
        before: Cost | None = None
        if wanted.write:
            asked, before = _with_written(project, asked, wanted, store, spending)
        spent = before.samples if before else 0
        budget = min(options.budget, spent + asked.count * asked.runs)

        async def work(sessions: Sequence[Session]) -> Neighbourhood:
            if before is not None:
                sessions[0].spent.carry(before)
                if options.max_seconds is not None:
                    sessions[0].spent.begin(options.max_seconds - before.seconds)
            return await try_neighbours(sessions[0], asked)

        cases = [one.case for one in asked.candidates] or [asked.case]
        return with_sessions([project], store, replace(spending, budget=budget), cases, cases, work)


def _with_written(
    project: Project, asked: AskedNeighbours, wanted: Wanted, store: Store, spending: Spending
) -> tuple[AskedNeighbours, Cost]:
    """The candidates with those that the case's own model wrote before them, and what that took."""
    text = str(asked.case.input[text_input(asked.case, project.program)])
    asking, cases = writer(project, asked.case, text)
    others = [value for one in asked.candidates for value in one.input.values() if isinstance(value, str)]

    async def work(sessions: Sequence[Session]) -> tuple[list[str], list[Dropped], Cost]:
        usable, dropped = await written_wordings(sessions[0], cases, text, wanted.write, others)
        return usable, dropped, sessions[0].spent.cost()

    budget = min(options_of(spending).budget, wanted.write)
    usable, dropped, cost = with_sessions(
        [asking], store, replace(spending, budget=budget), cases, cases, work, names=("writer",)
    )
    written = from_wordings(asked.case, project.program, project.cases, asked.candidates, usable)
    more = replace(
        asked,
        candidates=(*written, *asked.candidates),
        count=asked.count + len(written),
        written=wanted.write,
        dropped=tuple(dropped),
    )
    return more, cost


# -- writing -----------------------------------------------------------------------------------------------------------


def _written_down(project: Project, found: Neighbourhood, wanted: Wanted) -> Neighbourhood:
    """The answer, with what is kept in its file. Raises: UsageError where nothing is kept and all were told."""
    kept = found.standing("kept")
    if not kept:
        if not found.finished:
            return found
        tried, dropped = len(found.tried), len(found.dropped)
        what = f"none of {counts('candidate', tried)} can be used: {found.tried[0].why}" if tried else "none was left"
        what += f"; {counts('reply', dropped)} of the model could not be used" if dropped else ""
        raise UsageError(
            f"{what}; see with `reroll rerun {found.case}` whether the case itself ever passes, allow more --runs, or "
            "write neighbours by hand",
            slug="no-neighbours",
        )
    if wanted.out is not None:
        cases = [one.neighbour.case for one in kept]
        write_cases(wanted.out, cases, [_note(one.neighbour) for one in kept])
        return written_to(found, str(wanted.out))
    path = project.path / "cases.yaml"
    now = load_project(project.path).cases  # somebody may have written into it while the runs were made
    taken, known = {case.id for case in now}, {case.content_id for case in now}
    new = [one.neighbour for one in kept if one.neighbour.case.content_id not in known]
    # A case that was reported through the pages comes along: `of` may name only what this file has.
    cases, notes = ([], []) if found.case in taken else ([project.case(found.case)], ["reported through the pages"])
    for one in new:
        id = one.id if one.id not in taken else new_id(found.case, one.kind, taken)
        taken.add(id)
        cases.append(one.case.model_copy(update={"id": id}))
        notes.append(_note(one))
    if new:
        append_cases(path, cases, notes)
    return written_to(found, str(path))


def _note(one: Neighbour) -> str:
    return f"{one.kind}: {one.why}"


def _show(found: Neighbourhood, common: Common, pictures: Pictures) -> None:
    from reroll.render.neighbours import show_neighbours

    present(
        f"reroll neighbours {found.case}", found.as_json, lambda page: show_neighbours(found, page), common, pictures
    )
