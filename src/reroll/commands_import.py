"""`import`: recorded completions and recorded traffic into the store, or into a project of their own."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reroll.answer import to_json
from reroll.arguments import Common
from reroll.check import Check
from reroll.errors import UsageError
from reroll.intake.recording import Recording
from reroll.output import console, print_json
from reroll.project import load_project, read_checks
from reroll.settings import setting
from reroll.store import Store

__all__ = ["import_"]


MOST_CONTROLS = 1000  # cases at once, that a person can still look through


def import_(
    files: Sequence[Path], check: str | None, into: Path | None, turn: int | None, controls: int, common: Common
) -> int:
    from reroll.intake.formats import is_own

    checks = None if check is None else read_checks(check, "--check")
    if turn == 0:
        raise UsageError("--turn counts the user's messages from 1, or from the end as -1; got 0", slug="usage")
    _may_be_controls(controls, checks, into)
    if len(files) == 1 and turn is None and not controls and is_own(files[0]):
        seen = _recording(files[0], checks, check, into, common)
    else:
        seen = _traffic(files, checks, into, turn, controls, common)
    if common.json:
        print_json(to_json(seen, "reroll.import/1"))
    else:
        from reroll.render.recording import show_recording

        show_recording(seen, console())
        if into is not None:
            print(f"Wrote a project to {into}: cd {into} && reroll investigate --case ID", file=sys.stderr)
        elif seen.intake is not None and seen.stored and len(files) == 1:
            again = f"reroll investigate --request {shlex.quote(str(files[0]))}#1 --expect 'contains: WORDS'"
            print(f"Once more, as often as it takes: {again}", file=sys.stderr)
    return 0


def _may_be_controls(controls: int, checks: tuple[Check, ...] | None, into: Path | None) -> None:
    """Raises: UsageError where no control cases could be made of what comes."""
    if not 0 <= controls <= MOST_CONTROLS:
        raise UsageError(
            f"--controls is a number of cases up to {MOST_CONTROLS}, got {controls}", slug="import-controls"
        )
    if controls and into is not None:
        raise UsageError("--controls adds to the project here, --into makes another one; leave one out", slug="usage")
    if controls and not checks:
        raise UsageError(
            "--controls needs --check: what the answer to any ordinary request has, such as --check 'schema: true'",
            slug="import-controls",
        )


def _recording(
    file: Path, checks: tuple[Check, ...] | None, check: str | None, into: Path | None, common: Common
) -> Recording:
    """A file of reroll's own, whose model can be the recording itself."""
    from reroll.intake.importing import ImportedSample, project_from_recorded
    from reroll.intake.recording import look_at, store_all

    rows: list[ImportedSample] = []
    _, seen = look_at(file, checks, setting("alpha"), None if into else rows.append)
    if into is not None:
        project_from_recorded(file, into, check)
        return seen
    with Store.open(setting("store", common.store) or common.project / ".reroll" / "store.sqlite") as store:
        return replace(seen, stored=store_all(store, file, rows))


def _traffic(
    files: Sequence[Path],
    checks: tuple[Check, ...] | None,
    into: Path | None,
    turn: int | None,
    controls: int,
    common: Common,
) -> Recording:
    from reroll.intake.formats import read_files
    from reroll.intake.founding import Founding
    from reroll.intake.ordinary import Ordinary
    from reroll.intake.traffic import take_in

    home = common.project
    here = into is None and (controls > 0 or (home / "program.yaml").exists())
    project = load_project(home) if here else None
    ordinary = Ordinary(project, checks or (), controls) if project is not None and controls else None
    if ordinary is not None:
        ordinary.may_write()
    founding = None if into is None else Founding(files[0].name.split(".")[0] or "imported")
    if founding is not None and into is not None:
        founding.may_write(into)
    if founding is not None and turn is None:
        turn = -1  # a project is of single turns, also where whole conversations were recorded
    place = setting("store", common.store) or (into or home) / ".reroll" / "store.sqlite"
    # What is read is mostly freed at once: Python's search for cycles finds none, in a twelfth of the time.
    gc.set_threshold(50_000, 20, 100)
    calls = read_files(files)  # before there is a store: a foreign file leaves none behind
    with Store.open(place) as store:
        found = take_in(
            calls,
            store=store,
            folder=home,
            project=project,
            checks=checks,
            turn=turn,
            alpha=setting("alpha"),
            keep=founding.look if founding else ordinary.look if ordinary else None,
        )
    caveats = found.caveats
    if ordinary is not None:
        caveats = (*caveats, *ordinary.write(str(files[0])))
    if founding is not None and into is not None:
        caveats = (*caveats, *founding.write(into))
    intake = found.intake and replace(found.intake, project=str(into) if into else None)
    return replace(found, file=", ".join(map(str, files)), caveats=caveats, intake=intake)
