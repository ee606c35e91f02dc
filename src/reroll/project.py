"""A project folder as values: the program, its cases, fixes and labels, every error with file, line and key."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reroll.case import Case, Label
from reroll.check import Check
from reroll.complaints import complain, problem_words
from reroll.errors import FileError, UsageError
from reroll.fix import Fix
from reroll.ideas import IdeaFile
from reroll.lever_kinds import kind_problem
from reroll.match import listed, nearest, show
from reroll.params import bad_param, misspelt
from reroll.program import Program
from reroll.requirement import bad_schema
from reroll.step_forms import WrongStep, steps_of
from reroll.strict_yaml import Document, parse_document, parse_yaml, read_document, read_text

__all__ = [
    "REPORTED",
    "CaseFile",
    "Project",
    "load_fix",
    "load_project",
    "parse_yaml",
    "read_checks",
    "read_labels",
    "schemas",
    "write_schemas",
]

Model = TypeVar("Model", bound=BaseModel)
# What a stored request already says, so that it cannot be said beside it.
SAID_BY_RAW = (
    "params",
    "system",
    "documents",
    "examples",
    "history",
    "tools",
    "user",
    "response",
    "structured",
)
# What a product of one's own does not read: it gets the inputs as they are.
NOT_FOR_PRODUCTS = {
    "python": ("system", "documents", "examples", "tools", "user", "structured", "raw", "base_url"),
    "http": ("system", "documents", "examples", "history", "tools", "user", "structured", "raw", "base_url", "params"),
}


REPORTED = Path(".reroll") / "reported.yaml"  # cases that people reported through the pages


class CaseFile(BaseModel):
    """The file `cases.yaml`: a list of cases under the key `cases`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cases: tuple[Case, ...] = Field(min_length=1, description="One or more; each id stands once.")


@dataclass(frozen=True, slots=True)
class Project:
    """All that a project folder says."""

    path: Path
    program: Program
    cases: tuple[Case, ...] = ()
    fixes: tuple[Fix, ...] = ()
    labels: tuple[Label, ...] = ()
    reported: tuple[Case, ...] = ()  # came in through the pages: of no suite, but found by their ids

    def has(self, case_id: str) -> bool:
        """Whether this is one of its cases, of the suite or reported."""
        return any(case.id == case_id for case in (*self.cases, *self.reported))

    def case(self, case_id: str) -> Case:
        """The case of this id. Raises: UsageError naming the nearest one."""
        for case in (*self.cases, *self.reported):
            if case.id == case_id:
                return case
        ids = [c.id for c in self.cases]
        hint = nearest(case_id, ids) or (f"; the cases are {listed(ids)}" if ids else ", which holds none yet; add one")
        raise UsageError(f"no case `{case_id}` in {self.path / 'cases.yaml'}{hint}", slug="no-case")


def load_project(folder: str | Path, program_yaml: str | None = None) -> Project:
    """The project in this folder; `program_yaml` is read in place of what its program.yaml says.

    Raises: FileError for the first thing that is wrong in it.
    """
    folder = Path(folder)
    if folder.is_file():
        raise FileError(folder, "a file; give the folder that holds program.yaml", slug="no-project")
    home = _find(folder, "program.yaml")
    if home is None:
        what = "no program.yaml in this folder" if folder.is_dir() else "no such folder"
        raise FileError(folder, f"{what}; run `reroll init {folder}` to make a project", slug="no-project")
    program = _load_program(read_document(home) if program_yaml is None else parse_document(program_yaml, home))
    cases_file = _find(folder, "cases.yaml")
    cases = () if cases_file is None else _load_cases(cases_file, program)
    reported = _load_cases(told, program) if (told := folder / REPORTED).is_file() else ()
    return Project(
        folder,
        program,
        cases,
        _load_fixes(folder / "fixes"),
        tuple(label for _, label in read_labels(labels)) if (labels := folder / "labels.jsonl").is_file() else (),
        tuple(one for one in reported if all(one.id != case.id for case in cases)),  # one that was moved is there
    )


def _find(folder: Path, name: str) -> Path | None:
    if (folder / name).is_file():
        return folder / name
    other = folder / name.replace(".yaml", ".yml")
    if other.is_file():
        raise FileError(other, f"rename this file to {name}")
    return None


def _validated(document: Document, model: type[Model], example: str) -> Model:
    if document.value is None:
        raise FileError(document.path, f"the file is empty; it needs {example}")
    if not isinstance(document.value, dict):
        what = "a list" if isinstance(document.value, list) else "one value"
        raise document.error(f"the file holds {what}; it needs keys, such as {example}")
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise complain(error, document, model) from None


def _load_program(document: Document) -> Program:
    if isinstance(document.value, dict) and isinstance(document.value.get("raw"), str):
        document.value["raw"] = _raw_request(document)
    program = _validated(document, Program, "`program: NAME` and what is sent to the model")
    kind = program.model.partition(":")[0]
    for key in NOT_FOR_PRODUCTS.get(kind, ()):
        if document.value.get(key) not in (None, "", [], {}):
            hint = "put it into `http.body`" if kind == "http" else "give it to the function in `params`"
            raise document.error(f"a {kind}: model gets the case's inputs and not this; remove it, or {hint}", (key,))
    if program.http is not None and kind != "http":
        raise document.error(f"this is for http: models, and the model is `{program.model}`", ("http",))
    _params_make_sense(document, program)
    if program.response is not None and (problem := bad_schema(program.response)):
        raise document.error(problem.words, ("response", *problem.path))
    _parts_have_names(document, program)
    _steps_make_sense(document, program)
    for key in ("neutral", "alternatives"):
        for factor in getattr(program, key):
            if hint := _no_such_factor(program, factor):
                raise document.error(f"the program has no part of this name{hint}", (key, factor))
    return program


def _params_make_sense(document: Document, program: Program) -> None:
    """Raises: FileError for a parameter, or an alternative of one, that can only be a mistake."""
    for name, value in program.params.items():
        if problem := bad_param(program.model, name, value) or misspelt(program.model, name):
            raise document.error(problem, ("params", name))
    for factor, values in program.alternatives.items():
        root, _, name = factor.partition(".")
        for i, value in enumerate(values if root == "params" else ()):
            if problem := bad_param(program.model, name, value):
                raise document.error(problem, ("alternatives", factor, i))


def _parts_have_names(document: Document, program: Program) -> None:
    """Raises: FileError for a field or a tool that says nothing which could be looked at or changed."""
    for name, field in (program.response or {}).get("properties", {}).items():
        if not isinstance(field, dict):
            words = f"needs what the field is, such as {{type: string}}; got {show(field)}"
            raise document.error(words, ("response", "properties", name))
    for i, tool in enumerate(program.tools):
        if not isinstance(tool.get("function", tool), dict):
            words = f"needs the function's name and parameters; got {show(tool['function'])}"
            raise document.error(words, ("tools", i, "function"))


def _steps_make_sense(document: Document, program: Program) -> None:
    """Raises: FileError for an entry of `steps` that is no step of this program."""
    try:
        steps_of(program)
    except WrongStep as wrong:
        at: tuple[str | int, ...] = ("steps", wrong.index, *wrong.path)
        words = wrong.problem
        if wrong.errors and wrong.kind is not None:
            first, *same = wrong.errors
            words = problem_words(first, [first, *same], wrong.kind, document.plain(at))
        raise document.error(words, at) from None


def _no_such_factor(program: Program, factor: str) -> str:
    """A hint where this names no part of the program and no circumstance; empty where it may.

    What only a case or a server brings (its turns, its load) and what may be added (a parameter,
    a field's description) is left to whoever uses it.
    """
    root = factor.partition(".")[0]
    fields = (program.response or {}).get("properties", {})
    parts = {part.id for part in program.parts()}
    parts |= {f"response.{name}.{what}" for name in fields for what in ("name", "type", "description")}
    free = root in ("user", "history", "params", "serving", "check", "replica", "steps")
    if factor in parts or free or program.raw is not None:
        return ""
    return nearest(factor, parts) or f"; it has {', '.join(sorted(parts))}"


def _raw_request(document: Document) -> str:
    """The exact text of the stored request that the program names."""
    name = document.value["raw"]
    for key in SAID_BY_RAW:
        if key in document.value:
            raise document.error(f"the request in `raw: {name}` says this already; remove the one or the other", (key,))
    path = document.path.parent / name
    if not path.is_file():
        raise document.error(f"there is no file {path}", ("raw",))
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, f"not JSON: {error.msg.lower()} in column {error.colno}", line=error.lineno) from None
    except (RecursionError, ValueError):
        raise FileError(path, "not JSON that can be read") from None
    if not isinstance(value, dict):
        raise FileError(path, f"a request is a JSON object; this is {show(value)}")
    return text


# -- cases


def _load_cases(path: Path, program: Program) -> tuple[Case, ...]:
    document = read_document(path)
    if isinstance(document.value, dict) and document.value.get("cases", 0) in (None, []):
        raise document.error(
            "no case yet; a case is written as `- {id: NAME, input: {...}, checks: [...]}`", ("cases",)
        )
    cases = _validated(document, CaseFile, "`cases:` with a list").cases
    for i, case in enumerate(cases):
        if problem := _kinship(case, cases[:i], cases):
            key, words = problem
            raise document.error(words, ("cases", i, key))
        for check, steps in _with_steps(case.checks):
            if check.kind == "schema" and check.value is True and not _has_response(program):
                words = "`schema: true` means the program's `response`, and program.yaml has none"
                raise document.error(words, ("cases", i, "checks", *steps, "schema"))
    return cases


class _Checks(BaseModel):
    checks: tuple[Check, ...]


def read_checks(text: str, name: str | Path) -> tuple[Check, ...]:
    """Checks as one writes them in a file or on the command line: `contains: Friday`, or a list of such.

    Raises: FileError, in which `name` stands for the file.
    """
    document = parse_document(text, Path(name))
    if document.value is None:
        raise document.error("says no check; a check is written as `contains: noon`")
    items = document.value if isinstance(document.value, list) else [document.value]
    try:
        return _Checks.model_validate({"checks": items}).checks
    except ValidationError as error:
        first = error.errors()[0]
        steps = first["loc"][1:] if isinstance(document.value, list) else first["loc"][2:]
        raise document.error(problem_words(first, [first], _Checks, document.plain(steps)), steps) from None


def _kinship(case: Case, before: tuple[Case, ...], cases: tuple[Case, ...]) -> tuple[str, str] | None:
    """The key and the words of what is wrong between this case and the others."""
    ids = {c.id: c for c in cases}
    if any(c.id == case.id for c in before):
        return "id", f"two cases are called {case.id}; give each its own id"
    related = case.set in ("neighbour", "lookalike")
    if related and case.of is None:
        return "set", f"a {case.set} needs `of`: the id of the case that it belongs to"
    if case.of is None:
        return None
    if not related:
        return "of", f"only a neighbour or a lookalike belongs to a case, and this is `set: {case.set}`"
    if case.of not in ids:
        return "of", f"there is no case {case.of}{nearest(case.of, list(ids))}"
    if ids[case.of].set != "case":
        return "of", f"{case.of} is a {ids[case.of].set}; `of` names a case that is `set: case`"
    return None


def _with_steps(checks: tuple[Check, ...]) -> Iterator[tuple[Check, tuple[str | int, ...]]]:
    """Every check, nested ones included, with the way to it."""
    for i, check in enumerate(checks):
        yield check, (i,)
        if isinstance(check.value, Check):
            yield from ((c, (i, check.kind, *steps[1:])) for c, steps in _with_steps((check.value,)))
        elif isinstance(check.value, tuple):
            yield from ((c, (i, check.kind, *steps)) for c, steps in _with_steps(check.value))


def _has_response(program: Program) -> bool:
    return program.response is not None or program.raw is not None


# -- fixes and labels


def _load_fixes(folder: Path) -> tuple[Fix, ...]:
    found: dict[str, tuple[Fix, Path]] = {}
    for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
        if path.suffix == ".yml":
            raise FileError(path, f"rename this file to {path.stem}.yaml")
        fix, document = _one_fix(path)
        if fix.fix in found:
            raise document.error(f"{found[fix.fix][1]} has a fix called {fix.fix} too; rename one", ("fix",))
        found[fix.fix] = fix, path
    return tuple(fix for fix, _ in found.values())


def load_fix(path: Path) -> Fix:
    """The fix in this file. Raises: FileError for the first thing that is wrong in it."""
    return _one_fix(path)[0]


def _one_fix(path: Path) -> tuple[Fix, Document]:
    document = read_document(path)
    fix = _validated(document, Fix, "`fix: NAME` and `kind: KIND`")
    if problem := kind_problem(fix):
        key, words = problem
        raise document.error(words, () if key is None else (key,))
    return fix, document


def read_labels(path: Path) -> list[tuple[int, Label]]:
    """The labels of a file, each with its line. Raises: FileError for the first line that is none."""
    found = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_each_key_once)
        except _Twice as twice:
            raise FileError(path, "a key stands twice; keep one", line=number, key=str(twice)) from None
        except (ValueError, RecursionError):
            raise FileError(path, f"not a JSON object: {show(line)}", line=number) from None
        if not isinstance(value, dict):
            raise FileError(path, f"a label is a JSON object; this is {show(value)}", line=number)
        try:
            found.append((number, Label.model_validate(value)))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] and first["type"] != "missing" else None
            raise FileError(path, problem_words(first, [first], Label), line=number, key=key) from None
    return found


class _Twice(Exception):
    """A key that stands twice in one JSON object."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises: _Twice; what a person says twice must not be taken by its last word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


# -- for editors


def schemas() -> dict[str, Any]:
    """The JSON Schema of every file that a user writes, by name."""
    return {
        "program": Program.model_json_schema(),
        "cases": _plain_references(CaseFile.model_json_schema()),
        "fix": Fix.model_json_schema(),
        "ideas-file": IdeaFile.model_json_schema(),
        "label": Label.model_json_schema(),
    }


def _plain_references(schema: Any) -> Any:
    """The same schema with $ref in place of $dynamicRef, which few editors know."""
    if isinstance(schema, list):
        return [_plain_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$dynamicRef") == "#check":
        schema = {**schema, "$ref": "#/$defs/Check"}
    return {k: _plain_references(v) for k, v in schema.items() if k not in ("$dynamicRef", "$dynamicAnchor")}


def write_schemas(folder: Path) -> list[Path]:
    """Writes NAME.json for each of `schemas()`; returns what it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in schemas().items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the JSON Schemas of the files that users write.")
    parser.add_argument("--write-schemas", type=Path, required=True, metavar="FOLDER")
    for written_path in write_schemas(parser.parse_args().write_schemas):
        print(written_path)
