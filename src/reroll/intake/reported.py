"""What a person said into a report and the case that it is about; asks where it cannot know, never guesses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reroll.case import Case, Report
from reroll.check import Check
from reroll.errors import FileError, UsageError
from reroll.program import Program, canonical
from reroll.project import Project, read_checks
from reroll.store import Store

__all__ = ["Told", "adhoc_case", "inputs_from", "pick_case", "program_from_request", "read_report"]

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
    told: Told, project: Project, store: Store, ask: Ask, somebody: bool = False
) -> tuple[Report, Project, Case]:
    """The report, the project as it was called, and the case with its checks.

    A case without checks is judged by a person where `somebody` is there.

    Raises: UsageError when the words fit no case or several and nobody can be asked, when no
    check says what a right answer is, or when the named case, file or sample does not exist.
    """
    project, case = _find(told, project, store, ask)
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
    return Report(words=told.words, case_id=case.id, saw=saw, sample=told.sample), project, case


def _find(told: Told, project: Project, store: Store, ask: Ask) -> tuple[Project, Case]:
    if told.request is not None:
        own = project.program
        model = told.model or (own.model if (project.path / "program.yaml").exists() else None)
        program = program_from_request(told.request, model, told.base_url or own.base_url)
        return replace(project, program=program), Case(id=told.request.stem)
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
    names = ", ".join(c.id for c in (hits or list(cases))[:12])
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


def program_from_request(path: Path, model: str | None = None, base_url: str | None = None) -> Program:
    """A program that is one stored request, sent as it stands; without a model, to the one that it names.

    Raises: FileError; UsageError where neither says which model.
    """
    text = _read(path)
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(
            path, f"is not JSON: {error.msg}; give the request body as it was sent", line=error.lineno
        ) from None
    if isinstance(body, dict) and isinstance(body.get("request"), dict):
        body, text = body["request"], canonical(body["request"])
    if not isinstance(body, dict) or "messages" not in body:
        raise FileError(path, "has no `messages`; give the body of a chat completions request", key="messages")
    if model is None and isinstance(body.get("model"), str):
        model = f"openai:{body['model']}"
    if model is None:
        raise UsageError(f"{path} names no model; say which with --model, such as openai:NAME", slug="no-model")
    return Program(program=path.stem, model=model, base_url=base_url if model.startswith("openai:") else None, raw=text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise FileError(path, f"cannot be read: {reason}") from None
