"""Recorded completions into cases and samples, and into a project that runs on the recording itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from reroll.case import Case
from reroll.check import Check
from reroll.errors import FileError, UsageError
from reroll.init import write_new
from reroll.intake.recorded import RecordedRow, read_rows
from reroll.match import clean, listed
from reroll.program import canonical
from reroll.project import read_checks
from reroll.sample import Sample
from reroll.strict_yaml import write_yaml

__all__ = ["Imported", "ImportedSample", "import_file", "project_from_recorded"]

JSON = Any
CONVERSATION_CHECKS = (Check.of("reward", 1),)


@dataclass(frozen=True, slots=True)
class ImportedSample:
    """One recorded draw with its place: number `index` (from 0, in the order of the file) of its case and variant."""

    case: Case
    sample: Sample
    index: int
    run: int
    variant: str = "baseline"
    model: str | None = None
    params: Mapping[str, JSON] = field(default_factory=dict)
    messages: tuple[Mapping[str, JSON], ...] = ()
    source: Literal["imported"] = "imported"


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file of recorded completions holds.

    `system` and `params` are what all rows share, else None; `caveats` are sentences on what a
    reader of any number from this file should know.
    """

    path: Path
    cases: tuple[Case, ...]
    samples: int
    variants: tuple[str, ...]
    models: tuple[str, ...]
    conversations: bool
    system: str | None = None
    params: Mapping[str, JSON] | None = None
    caveats: tuple[str, ...] = ()


def import_file(
    path: str | Path,
    *,
    checks: tuple[Check, ...] | None = None,
    keep: Callable[[ImportedSample], None] | None = None,
) -> Imported:
    """The cases of a recording; every row goes to `keep` as a sample, in the order of the file.

    Args: path: the file, or FILE#key=value for the rows with that value only (say #variant=plain);
        checks: for every case; None: `reward: 1` where all rows are conversations, else none.
    Raises: FileError with the line of a row that is amiss, after nothing was kept.
    """
    file, rows = _choose(path)
    found = _Found()
    for row in rows():
        found.add(row)
    if not found.first:
        raise FileError(file, "no recorded completion was found in it", slug="recorded-file")
    if checks is None:
        checks = CONVERSATION_CHECKS if found.conversations else ()
    cases = {row.case_id: _case(file, row, checks, found.conversations) for row in found.first.values()}
    if keep is not None:
        seen: dict[tuple[str, str], int] = {}
        for row in rows():
            place = (row.case_id, row.variant)
            seen[place] = seen.get(place, -1) + 1
            keep(_sample(row, cases[row.case_id], seen[place]))
    return found.summary(file, tuple(cases.values()))


def project_from_recorded(path: str | Path, folder: str | Path, check: str | None = None) -> Imported:
    """A project folder whose model is the recording, so that every command works on recorded data.

    Args: path: as in import_file; check: YAML of what a right answer is, for every case, such as
        `equals: "{expected}"`; may be left out where the rows are whole conversations with a reward.
    Raises: FileError, UsageError; nothing is written then.
    """
    checks = None if check is None else read_checks(check, "--check")
    found = import_file(path, checks=checks)
    _one_program(found)
    if checks is None and not found.conversations:
        raise UsageError(
            f"{found.path} does not say what a right answer is; give a check, "
            "such as --check 'equals: \"{expected}\"'",
            slug="import-check",
        )
    choice = str(path).partition("#")[2]
    program = {
        "program": found.path.name.split(".")[0] or "recorded",
        "model": f"recorded:{_from(Path(folder), found.path)}{f'#{choice}' if choice else ''}",
        **({"params": dict(found.params)} if found.params else {}),
        "effects": "none",
        **({"system": clean(found.system)} if found.system else {}),
    }
    head = "# Made by `reroll import`: the model is the recording, each of its completions is drawn once.\n"
    cases = [case.model_dump(exclude_defaults=True, mode="json") for case in found.cases]
    write_new(folder, {"program.yaml": head + write_yaml(program), "cases.yaml": write_yaml({"cases": cases})})
    return found


def _choose(path: str | Path) -> tuple[Path, Callable[[], Iterator[RecordedRow]]]:
    """The file, and its rows, or those of them that `#key=value` chooses."""
    name, _, choice = str(path).partition("#")
    key, equals, value = choice.partition("=")
    if choice and not (key and equals):
        raise UsageError(
            f"write {name}#key=value, for example {name}#variant=plain; got #{choice}", slug="import-choice"
        )

    def rows() -> Iterator[RecordedRow]:
        for row in read_rows(name):
            if not key or str(row.variant if key == "variant" else row.fields.get(key)) == value:
                yield row

    return Path(name), rows


def _one_program(found: Imported) -> None:
    """Raises: UsageError where the rows are of several programs or models, which must not be pooled."""
    for what, key, values in (("variants", "variant", found.variants), ("models", "model", found.models)):
        if len(values) > 1:
            raise UsageError(
                f"{found.path} holds {len(values)} {what} ({listed(values, most=5)}), and a project is one of them; "
                f"choose it as {found.path}#{key}={values[0]}",
                slug="import-choice",
            )


def _from(folder: Path, file: Path) -> str:
    """The file as program.yaml names it: relative where it lies in the project, so that both can be moved."""
    file, folder = file.resolve(), folder.resolve()
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


class _Found:
    """What the rows have in common, gathered row by row."""

    def __init__(self) -> None:
        self.first: dict[str, RecordedRow] = {}  # by case: its first row
        self.samples = 0
        self.conversations = True
        self.variants: dict[str, None] = {}
        self.models: dict[str, None] = {}
        self.systems: set[str | None] = set()
        self.params: dict[str, Mapping[str, JSON]] = {}
        self.runs: dict[tuple[str, str, str | None], int] = {}
        self.reworded: set[str] = set()
        self.disagreeing: set[str] = set()
        self.errors = 0
        self.prompts: dict[tuple[str, str], int] = {}

    def add(self, row: RecordedRow) -> None:
        first = self.first.setdefault(row.case_id, row)
        self.samples += 1
        self.errors += row.error is not None
        self.conversations &= row.completion is None and row.reward is not None
        self.variants[row.variant] = None
        if row.model is not None:
            self.models[row.model] = None
        self.systems.add(_system(row.messages))
        self.params[canonical(row.params)] = row.params
        arm = (row.case_id, row.variant, row.model)
        self.runs[arm] = self.runs.get(arm, 0) + 1
        prompt = hash(canonical(list(row.messages)))
        if self.prompts.setdefault((row.case_id, row.variant), prompt) != prompt:
            self.reworded.add(row.case_id)
        if first.expected != row.expected:
            self.disagreeing.add(row.case_id)

    def summary(self, file: Path, cases: tuple[Case, ...]) -> Imported:
        shared = next(iter(self.systems)) if len(self.systems) == 1 else None
        params = next(iter(self.params.values())) if len(self.params) == 1 else None
        return Imported(
            path=file,
            cases=cases,
            samples=self.samples,
            variants=tuple(self.variants),
            models=tuple(self.models),
            conversations=self.conversations,
            system=shared,
            params=params,
            caveats=tuple(self._caveats()),
        )

    def _caveats(self) -> Iterator[str]:
        counts = set(self.runs.values())
        if len(counts) > 1:
            yield (
                f"Cases have from {min(counts)} to {max(counts)} recorded runs; if that depended on the answers, "
                "a rate over all rows is biased."
            )
        if self.reworded and not self.conversations:
            yield f"{_several(self.reworded)} asked in several wordings; the first one stands for the case."
        if self.disagreeing:
            yield f"{_several(self.disagreeing)} recorded with several expected answers; the first one counts."
        if self.errors:
            yield f"{self.errors} of {self.samples} rows are errors and count as invalid."


def _several(cases: set[str]) -> str:
    return f"Case {next(iter(cases))} was" if len(cases) == 1 else f"{len(cases)} cases were"


def _system(messages: tuple[Mapping[str, JSON], ...]) -> str | None:
    if messages and messages[0].get("role") in ("system", "developer"):
        return _text(messages[0].get("content"))
    return None


def _text(content: JSON) -> str:
    """A message's content as text; content in several pieces keeps its text pieces."""
    if isinstance(content, list):
        pieces = [c.get("text") for c in content if isinstance(c, dict)]
        return "\n".join(p for p in pieces if isinstance(p, str))
    return content if isinstance(content, str) else "" if content is None else canonical(content)


def _case(file: Path, row: RecordedRow, checks: tuple[Check, ...], conversation: bool) -> Case:
    """The case of a row: the last user message is its request, what came before its history.

    A whole conversation went differently each time; the first one recorded is kept as the history,
    and the request is what the user was told to do, where the row says so (`instruction`).
    """
    messages = [m for m in row.messages if m.get("role") not in ("system", "developer")]
    asked = [i for i, m in enumerate(messages) if m.get("role") == "user"]
    request = _text(messages[asked[-1]].get("content")) if asked else ""
    history = messages[: asked[-1]] if asked else messages
    if conversation:
        told, history = row.fields.get("instruction"), messages
        opening = _text(messages[asked[0]].get("content")) if asked else ""
        request = told if isinstance(told, str) else opening
    try:
        return Case(
            id=row.case_id,
            input={"request": clean(request)},
            history=tuple(_clean(dict(m)) for m in history),
            expected=_clean(row.expected),
            checks=checks,
        )
    except ValidationError as error:
        first = error.errors()[0]
        problem = "holds half of a character" if first["type"] == "string_unicode" else first["msg"]
        key = "case_id" if first["loc"] == ("id",) else None
        raise FileError(file, problem, line=row.line, key=key, slug="recorded-file") from None


def _clean(value: JSON) -> JSON:
    """The same value with half characters replaced, which YAML and databases do not take."""
    text = json.dumps(value, ensure_ascii=False)
    return value if text == clean(text) else json.loads(clean(text))


def _sample(row: RecordedRow, case: Case, index: int) -> ImportedSample:
    sample = Sample(completion=row.completion, error=row.error, reward=row.reward, model=row.model)
    return ImportedSample(case, sample, index, row.run, row.variant, row.model, row.params, row.messages)
