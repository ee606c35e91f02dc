"""What a person said into a report and the case that it is about; asks where it cannot know, never guesses."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reroll.case import Case, Report
from reroll.check import Check
from reroll.errors import FileError, UsageError
from reroll.intake.single import Served, Single, single_call, single_stored
from reroll.match import clean, listed
from reroll.project import Project, read_checks
from reroll.store import Store

__all__ = ["QUOTED", "Told", "adhoc_case", "inputs_from", "pick_case", "read_report", "request_of"]

# Straight and curly quotation marks; a quotation of less than three characters selects too much.
QUOTED = re.compile(r"\"([^\"]{3,})\"|“([^”]{3,})”|«([^»]{3,})»|'((?<!\w')[^']{3,}?)'(?!\w)")


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line said about the report."""

    words: str = ""
    case: str | None = None
    request: Path | None = None
    sample: str | None = None
    inputs: Sequence[str] = ()
    saw: Path | None = None
    expect: str | None = None
    model: str | None = None
    base_url: str | None = None


Ask = Callable[[str, Sequence[str]], int | None]


def read_report(
    told: Told, project: Project, store: Store, ask: Ask, somebody: bool = False, call: Single | None = None
) -> tuple[Report, Project, Case]:
    """The report, the project as it was called, and the case with its checks.

    A case without checks is judged by a person where `somebody` is there. `call`: what `request_of` says.

    Raises: UsageError when the words fit no case or several and nobody can be asked, when no
    check says what a right answer is, or when the named case, file or sample does not exist.
    """
    call = call or request_of(told, project, store)
    project, case = _find(told, project, store, ask, call)
    if told.expect is not None:
        case = case.model_copy(update={"checks": read_checks(told.expect, "--expect")})
    if not case.checks and somebody:
        case = case.model_copy(update={"checks": (Check.of("person", True, name="a-person-says"),)})
    if not case.checks:
        raise UsageError(
            f"nothing says what a right answer to case `{case.id}` is; add `checks:` to it in cases.yaml "
            "or pass one, such as --expect 'contains: Friday' or --expect 'json: {date: \"2026-11-27\"}'",
            slug="no-check",
        )
    saw = _read(told.saw) if told.saw else None
    if saw is None and call is not None and call.taken.completion is not None:
        saw = clean(call.taken.completion.text)
    return Report(words=told.words, case_id=case.id, saw=saw, sample=told.sample), project, case


def _find(told: Told, project: Project, store: Store, ask: Ask, call: Single | None) -> tuple[Project, Case]:
    if call is not None:
        return replace(project, program=call.program), Case(id=call.program.program)
    if told.sample is not None:
        stored = store.sample(told.sample)
        if stored.program_id != project.program.id:
            raise UsageError(
                f"sample {stored.id} was drawn by another version of the program than {project.path / 'program.yaml'} "
                "states now; name the case instead (--case), or put that program back",
                slug="other-program",
            )
        return project, project.case(stored.case_id)
    if told.inputs:
        base = project.case(told.case) if told.case else None
        return project, adhoc_case(inputs_from(told.inputs), base)
    if told.case is not None:
        return project, project.case(told.case)
    return project, pick_case(told.words, project.cases, ask)


def pick_case(words: str, cases: Sequence[Case], ask: Ask) -> Case:
    """The one case whose input the words quote exactly; else the one that a person picks; never a guess.

    Raises: UsageError when nobody can be asked.
    """
    if not cases:
        raise UsageError("the project has no cases; add one to cases.yaml, or pass --input", slug="no-case")
    quotes = [next(g for g in m.groups() if g) for m in QUOTED.finditer(words)]
    if words.strip() and not quotes:
        quotes = [words.strip()]  # the whole message may be the input itself
    hits = [c for c in cases if any(_quotes(q, c) for q in quotes)]
    if len(hits) == 1:
        return hits[0]
    choice = ask("Which request was it?", [f"{c.id}: {_one_line(c)}" for c in (hits or cases)])
    if choice is not None:
        return (hits or list(cases))[choice]
    why = f"quote {len(hits)} cases" if hits else "quote no case exactly" if words.strip() else "are missing"
    names = listed([c.id for c in (hits or cases)])
    raise UsageError(
        f"the words {why}, and reroll never guesses which request was meant; name it with --case ({names}), "
        "quote its input exactly, or give the input with --input request='...'",
        slug="which-case",
    )


def _quotes(quote: str, case: Case) -> bool:
    return any(isinstance(v, str) and (quote == v or quote in v) for v in case.input.values())


def _one_line(case: Case) -> str:
    text = " ".join(str(v) for v in case.input.values())
    return text if len(text) <= 70 else text[:69] + "…"


def adhoc_case(inputs: dict[str, str], base: Case | None = None) -> Case:
    """A case made on the command line; it takes the checks of `base`, if one is named."""
    made = Case(id="adhoc", input=inputs)
    return Case(
        id=made.content_id.replace(":", "-"),
        input=inputs,
        checks=base.checks if base else (),
        expected=base and base.expected,
    )


def inputs_from(pairs: Sequence[str]) -> dict[str, str]:
    """`["request=Lunch"]` as a mapping. Raises: UsageError for a pair without `=`."""
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--input wants NAME=VALUE, got {pair!r}", slug="bad-input")
        result[name] = value
    return result


def request_of(told: Told, project: Project, store: Store) -> Single | None:
    """The recorded call that the report names by its file, or by its sample, with what is not known of it.

    None where it names none: a sample that the project's program drew is a run of one of its cases.

    Raises: FileError; UsageError where nothing says which call or which model.
    """
    own = project.program
    ours = told.model is None and (project.path / "program.yaml").exists()
    served = Served(own.model if ours else told.model, told.base_url or own.base_url, ours)
    if told.request is not None:
        return single_call(told.request, served)
    if told.sample is None:
        return None
    stored = store.sample(told.sample)
    if stored.source != "imported" or any(case.id == stored.case_id for case in project.cases):
        return None
    request = store.get_request(stored.request_id).request
    return single_stored(stored, request, served)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise FileError(path, f"cannot be read: {reason}") from None
