"""The command that writes an accepted fix into the program."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from reroll.applying import cured_by, into_suite, keep_before, put_in_place, remember_applied, unaccepted, written
from reroll.arguments import Common
from reroll.commands_try import conflicting, fixes_named
from reroll.errors import UsageError
from reroll.lever_claims import order_matters
from reroll.levers import diff
from reroll.opening import project_of, store_of
from reroll.output import print_json

__all__ = ["apply"]


def apply(names: Sequence[str], dry_run: bool, anyway: bool, common: Common) -> int:
    project = project_of(common)
    fixes = fixes_named(project, names, to="apply")
    if words := conflicting(fixes):
        raise UsageError(f"{words}; name one of them, or write one fix that does both", slug="fix")
    change = written(project, fixes)
    before, after = change.programs[0], change.programs[-1]
    shown = diff(before, after)
    cured: tuple[str, ...] = ()
    kept: Path | None = None
    for words in order_matters(fixes):
        print(words, file=sys.stderr)
    if not dry_run:
        with store_of(common, project) as store:
            for fix in fixes:
                why = unaccepted(store, fix, before)
                if why and not anyway:
                    raise UsageError(
                        f"{why}; try it with `reroll try {fix.fix} --case ID`, or say --anyway", slug="not-accepted"
                    )
                if why:
                    print(f"applied anyway: {why}", file=sys.stderr)
            kept = keep_before(change)
            put_in_place(change)
            remember_applied(store, change)
            cured = cured_by(store, fixes)
    added = into_suite(project, cured)
    if common.json:
        print_json(
            {
                "schema": "reroll.apply/1",
                "file": str(change.path),
                "written": not dry_run,
                "kept": None if kept is None else str(kept),
                "fixes": [{**fix.model_dump(mode="json"), "id": fix.id} for fix in fixes],
                "before": before.id,
                "after": after.id,
                "diff": shown,
                "tests": list(cured),
                "added": list(added),
            }
        )
        return 0
    print(shown)
    said = "would be written into" if dry_run else "written into"
    print(f"{said} {change.path}", file=sys.stderr)
    if kept is not None:
        undo = shlex.join(["cp", str(kept), str(change.path)])
        print(f"`{undo}` takes it out again, while nothing else was changed there", file=sys.stderr)
    if added:
        print(f"{_named(added)} added to {project.path / 'cases.yaml'}", file=sys.stderr)
    if cured:
        print(f"`pytest --reroll {project.path}` holds {_named(cured)}: red if it comes back", file=sys.stderr)
    return 0


def _named(cases: Sequence[str]) -> str:
    return ", ".join(f"`{case}`" for case in cases)
