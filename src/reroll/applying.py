"""A fix written into program.yaml: only after the new text was read and found to say exactly the fixed program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reroll.appending import append_cases, write_cases
from reroll.errors import FileError, UsageError
from reroll.fix import Fix
from reroll.ledger import APPLIED, TRIED, fix_in
from reroll.lever_undo import undo_of, without
from reroll.levers import fitting
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.store import Store
from reroll.strict_yaml import parse_document, read_text
from reroll.yaml_edit import edited

__all__ = [
    "APPLIED",
    "Written",
    "cured_by",
    "into_suite",
    "keep_before",
    "program_text",
    "put_in_place",
    "remember_applied",
    "still_in",
    "unaccepted",
    "written",
]


@dataclass(frozen=True, slots=True)
class Written:
    """What program.yaml will say. programs: before the first fix, and after each one; old, new: the file's bytes."""

    path: Path
    fixes: tuple[Fix, ...]
    programs: tuple[Program, ...]
    old: bytes
    new: bytes


def unaccepted(store: Store, fix: Fix, program: Program) -> str:
    """Why a fix is not to be applied as far as the store tells; empty where its last trial ended with `accept`."""
    said = [
        one
        for one in store.decisions(rule=TRIED)
        if fix_in(one.evidence).get("id") == fix.id and not _beaten(one.evidence)
    ]
    if not said:
        return f"`{fix.fix}` was never tried, so nobody knows what it does"
    last = said[-1]
    where = f" on case `{last.case_id}`" if last.case_id else ""
    if last.verdict != "accept":
        return f"the last trial of `{fix.fix}`{where} ended with `{last.verdict}`"
    if last.program_id not in (None, program.id):
        return f"`{fix.fix}` was accepted{where} for another version of the program ({last.program_id})"
    return ""


def _beaten(evidence: Any) -> bool:
    """Whether that trial went no further with it since another fix did better: that takes nothing back."""
    card = evidence.get("scorecard") if isinstance(evidence, Mapping) else None
    return isinstance(card, Mapping) and bool(card.get("beaten_by"))


def cured_by(store: Store, fixes: Sequence[Fix]) -> tuple[str, ...]:
    """The cases that any of these fixes was accepted for."""
    ids = {fix.id for fix in fixes}
    accepted = [d for d in store.decisions(rule=TRIED) if d.verdict == "accept" and fix_in(d.evidence).get("id") in ids]
    return tuple(dict.fromkeys(d.case_id for d in accepted if d.case_id is not None))


def into_suite(project: Project, cases: Sequence[str]) -> tuple[str, ...]:
    """Writes those of these cases that were only reported into cases.yaml, so that the suite holds them; their ids.

    Raises: FileError where nothing can be added to the file.
    """
    new = [case for case in project.reported if case.id in cases and case.checks]
    path = project.path / "cases.yaml"
    notes = ["Reported, and mended: here so that it cannot come back unseen."] * len(new)
    if new and path.exists():
        append_cases(path, new, notes)
    elif new:
        write_cases(path, new, notes)
    return tuple(case.id for case in new)


def written(project: Project, fixes: Sequence[Fix]) -> Written:
    """What program.yaml says with the fixes in it, applied in this order; nothing is written yet.

    Raises:  UsageError: a fix that does not fit or changes nothing, or a change that the file cannot take as it stands.
    """
    programs = [project.program]
    for fix in fixes:
        programs.append(fitting(fix, programs[-1]))
    path = project.path / "program.yaml"
    old = path.read_bytes()
    text = program_text(path, programs[0], programs[-1])
    try:
        found = load_project(project.path, text).program
    except FileError as error:
        raise UsageError(
            f"with {_these(fixes)} the project would not load any more: {error}; mend that first", slug="apply"
        ) from None
    if found != programs[-1] or found.id != programs[-1].id:
        raise UsageError(
            f"{path} does not take {_these(fixes)} as it is written; make the change by hand", slug="apply"
        )
    mark = b"\xef\xbb\xbf" if old.startswith(b"\xef\xbb\xbf") else b""
    return Written(path, tuple(fixes), tuple(programs), old, mark + text.encode("utf-8"))


def _these(fixes: Sequence[Fix]) -> str:
    return ", ".join(f"`{fix.fix}`" for fix in fixes)


def program_text(path: Path, before: Program, after: Program) -> str:
    """The text of this program.yaml, which says `before`, as it says `after`: comments, order and quotes are kept.

    Raises:  UsageError: for a stored request, whose text is another file; FileError.
    """
    text = read_text(path)
    said = parse_document(text, path).value
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    usual = Program(program="").model_dump(mode="json")
    value = dict(said)
    for key in now:
        if _json(was[key]) == _json(now[key]):
            continue
        if key == "raw":
            raise UsageError(f"the change belongs into the stored request {said['raw']}; make it there", slug="apply")
        if now[key] == usual[key]:
            value.pop(key, None)
        else:
            value[key] = _as_said(said.get(key), now[key])
    order = [key for key in usual if key in value]
    for key in [key for key in value if key not in said]:
        value = _after(value, key, order[: order.index(key)])
    return edited(text, value, path)


def _json(value: Any) -> str:
    return json.dumps(value)


def _as_said(said: Any, now: Any) -> Any:
    """The value, with what a list's item says in the order of its keys in the file."""
    if not isinstance(said, list) or not isinstance(now, list):
        return now
    return [next((one for one in said if one == item), item) for item in now]


def _after(value: Mapping[str, Any], key: str, before: Sequence[str]) -> dict[str, Any]:
    """The mapping with this key behind the last of those that stand before it in a program."""
    rest = {k: v for k, v in value.items() if k != key}
    names = list(rest)
    at = max((names.index(name) + 1 for name in before if name in rest), default=0)
    items = list(rest.items())
    return dict([*items[:at], (key, value[key]), *items[at:]])


def keep_before(change: Written) -> Path:
    """The file where program.yaml is kept as it was before the change, so that a copy takes the change back.

    Raises:  UsageError: it cannot be written; then nothing was changed.
    """
    version = change.programs[0].id.rpartition(":")[2][:12]
    kept = change.path.parent / ".reroll" / f"program-before-{version}.yaml"
    try:
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(change.old)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{kept} cannot be written: {problem}; nothing was changed", slug="apply") from None
    return kept


def put_in_place(change: Written) -> None:
    """Replace the file in one step: whoever reads it sees the old text or the new one, whole.

    Raises:  UsageError: where it was changed meanwhile, or cannot be written.
    """
    path = change.path.resolve()  # a link goes on pointing to it
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if path.read_bytes() != change.old:
            raise UsageError(f"{change.path} was changed meanwhile; run the command again", slug="apply")
        with beside.open("wb") as stream:
            stream.write(change.new)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(path, beside)
        os.replace(beside, path)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{change.path} cannot be written: {problem}", slug="apply") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def still_in(evidence: Any, program: Program) -> bool:
    """Whether the program still says what this decision put into it; where nothing tells how to undo that, it does."""
    undo = evidence.get("undo") if isinstance(evidence, Mapping) else None
    if not isinstance(undo, list) or not all({"part", "was", "is"} <= {*said} for said in undo):
        return True
    return without(undo, program) is not None


def remember_applied(store: Store, change: Written) -> None:
    """Keep that the fixes were applied, each with what takes it out again and the cases that it was accepted for."""
    for fix, before, after in zip(change.fixes, change.programs, change.programs[1:], strict=False):
        store.add_decision(
            rule=APPLIED,
            question="applied",
            verdict="applied",
            program_id=before.id,
            evidence={
                "fix": {**fix.model_dump(mode="json"), "id": fix.id},
                "before": before.id,
                "after": after.id,
                "undo": undo_of(before, after),
                "cases": list(cured_by(store, [fix])),
            },
        )
