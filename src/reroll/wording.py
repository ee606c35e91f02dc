"""Ways to say a case's request: what a person types for one, as the program that says it so.

A wording is the baseline, PART=VALUE or another folder with a program.yaml, as for `compare`; or other words for
what the case asks: another case's id, input.NAME=VALUE, or just the words.  Whichever it is, it becomes a program
whose request for this very case is worded so: the case's checks and input stay what the answers are held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reroll.case import Case
from reroll.errors import UsageError
from reroll.match import nearest
from reroll.program import PLACEHOLDER, Program, fill
from reroll.project import Project, load_project
from reroll.strict_yaml import read_text
from reroll.variant import changed_part, with_part

__all__ = ["BASELINE", "Wording", "said_so", "text_of", "variant_of", "wordings_of"]

BASELINE = "baseline"
INPUT = "input."


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say it. name: as it was typed; says: the words, or the part that is changed."""

    name: str
    program: Program
    says: str


def variant_of(project: Project, name: str) -> Program:
    """The variant of this name: the baseline, a part changed (PART=VALUE), or another program file."""
    if name == BASELINE:
        return project.program
    if (change := changed_part(name)) is not None:
        return with_part(project.program, *change)
    folder = _folder(name)
    if folder is None:
        if any(fix.fix == name for fix in project.fixes):
            raise UsageError(
                f"`{name}` is a fix; `reroll try {name} --case ID` holds it against the program as it is",
                slug="no-variant",
            )
        raise UsageError(
            f"no variant `{name}`: it is neither `{BASELINE}`, nor PART=VALUE such as params.temperature=0, "
            "nor a folder with a program.yaml",
            slug="no-variant",
        )
    return load_project(folder).program


def wordings_of(project: Project, case: Case, names: Sequence[str]) -> tuple[Wording, ...]:
    """The wordings of these names, in their order; one alone is held against the baseline. `@FILE`: one a line.

    Raises: UsageError for what is no wording, says the same as another, or goes to another model.
    """
    typed = [name for one in names for name in _lines(one)]
    if not typed:
        raise UsageError(
            "name two wordings, or one to be held against the baseline: a case's id, the other words, "
            "system.role=TEXT, or @FILE with one a line",
            slug="no-wording",
        )
    if len(typed) == 1:
        typed = [BASELINE, *typed]
    found = tuple(_wording(project, case, name) for name in typed)
    first: dict[str, str] = {}
    for one in found:
        if (one.program.model, one.program.base_url) != (found[0].program.model, found[0].program.base_url):
            raise UsageError(
                f"`{found[0].name}` and `{one.name}` go to different models, whose tokens are not the same; "
                f"`reroll compare` compares models",
                slug="no-wording",
            )
        request = one.program.render(case.input, case.history).id("")
        if (same := first.setdefault(request, one.name)) != one.name or typed.count(one.name) > 1:
            raise UsageError(
                f"`{same}` and `{one.name}` send the same request, so there is nothing to compare", slug="no-wording"
            )
    return found


def text_of(program: Program, case: Case) -> str:
    """The words that ask for it: the only text that the user message takes, or all of the message where it takes more.

    Raises: UsageError where the program has no user message of its own.
    """
    name = _sole_text(program, case)
    if name is not None:
        return str(case.input[name])
    return fill(program.user, case.input)


def said_so(program: Program, case: Case, name: str, text: str) -> Wording:
    """The wording of this name that puts `text` where `text_of` found the words."""
    key = _sole_text(program, case)
    if key is not None:
        return Wording(name, _reworded(program, {**case.input, key: text}, name)[0], text)
    return Wording(name, with_part(program, "user", text.replace("{", "{{").replace("}", "}}")), text)


def _lines(name: str) -> list[str]:
    """The wording itself; of `@FILE` its lines, without empty ones."""
    if not name.startswith("@"):
        return [name]
    lines = [line.strip() for line in read_text(Path(name[1:])).splitlines()]
    if not any(lines):
        raise UsageError(f"{name[1:]} is empty; write a wording on each line", slug="no-wording")
    return [line for line in lines if line]


def _wording(project: Project, case: Case, name: str) -> Wording:
    program = project.program
    if name == BASELINE:
        return Wording(name, program, _said(program, case))
    for other in project.cases:
        if other.id == name:
            if other.history != case.history:
                raise UsageError(
                    f"case `{name}` has other earlier turns than `{case.id}`, so it is another conversation, "
                    "not another wording",
                    slug="no-wording",
                )
            return Wording(name, *_reworded(program, other.input, name))
    spaced = any(c.isspace() for c in name.partition("=")[0])
    if not spaced and (change := changed_part(name)) is not None:
        part, value = change
        if not part.startswith(INPUT):
            said = "(taken out)" if value == "" else str(value)
            return Wording(name, with_part(program, part, value), f"{part}: {said}")
        key = part.removeprefix(INPUT)
        if key not in case.input:
            known = [f"{INPUT}{k}" for k in case.input]
            hint = nearest(part, known) or f"; there are {', '.join(known) or 'none'}"
            raise UsageError(f"case `{case.id}` has no `{part}`{hint}", slug="no-wording")
        return Wording(name, *_reworded(program, {**case.input, key: value}, name))
    if (folder := _folder(name)) is not None:
        return Wording(name, load_project(folder).program, f"the program in {folder}")
    if not spaced:
        hint = nearest(name, [BASELINE, *(c.id for c in project.cases)])
        what = "a case's id, PART=VALUE such as system.role=TEXT, a folder with a program.yaml, or words with a space"
        raise UsageError(f"no wording `{name}`{hint or f': it is none of {what}'}", slug="no-wording")
    return Wording(name, *_reworded(program, {**case.input, _the_input(program, case): name}, name))


def _can_be_reworded(program: Program, name: str) -> None:
    if program.raw is not None or program.is_product:
        what = "a stored request, sent as it is" if program.raw is not None else "the product itself"
        raise UsageError(
            f"the program is {what}, so `{name}` cannot be put into it; name another folder with a program.yaml",
            slug="no-wording",
        )


def _reworded(program: Program, inputs: dict[str, object], name: str) -> tuple[Program, str]:
    """The program whose user message is these inputs' for every case, and that message."""
    _can_be_reworded(program, name)
    text = fill(program.user, inputs)
    return with_part(program, "user", text.replace("{", "{{").replace("}", "}}")), text


def _the_input(program: Program, case: Case) -> str:
    """The input that the words stand for: the only text that the program's user message takes."""
    texts = _texts(program, case)
    if len(texts) != 1:
        raise UsageError(
            f"case `{case.id}` has {'several texts' if texts else 'no text'} as input, so say which the words are: "
            f"{INPUT}{texts[0] if texts else 'NAME'}=...",
            slug="no-wording",
        )
    return texts[0]


def _texts(program: Program, case: Case) -> list[str]:
    names = {match[1] for match in PLACEHOLDER.finditer(program.user) if match[1]}
    return [name for name in case.input if name in names and isinstance(case.input[name], str)]


def _sole_text(program: Program, case: Case) -> str | None:
    _can_be_reworded(program, "other words")
    texts = _texts(program, case)
    return texts[0] if len(texts) == 1 else None


def _said(program: Program, case: Case) -> str:
    if program.raw is not None or program.is_product:
        return "as the program says it"
    return fill(program.user, case.input)


def _folder(name: str) -> Path | None:
    """The folder of the program that is named, if there is one."""
    path = Path(name)
    folder = path.parent if path.name == "program.yaml" else path
    try:
        return folder if (folder / "program.yaml").is_file() else None
    except OSError:  # words can be too long for a path
        return None
