"""The command that takes stored samples elsewhere: to a file of one of several forms, or to a collector."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from reroll.arguments import Common, ExportFormat
from reroll.errors import UsageError
from reroll.numbers import counts
from reroll.opening import project_of, run, store_of
from reroll.output import fitting, print_json
from reroll.project import Project
from reroll.store import Store
from reroll.store_rows import Source
from reroll.store_rows import to_json as row_json

__all__ = ["Export", "export"]

EXPORTED: tuple[Source, ...] = ("draw", "imported", "reported")
STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class Export:
    """Where to, and in which form; at most one is given, but `form` goes with `out`. `-` is stdout."""

    out: Path | None = None
    parquet: Path | None = None
    csv: Path | None = None
    evaluations: Path | None = None
    to: str | None = None
    form: ExportFormat = "recorded"


def export(case: str | None, told: Export, common: Common) -> int:
    from reroll.looking import known_case

    option, out = _chosen(told, common)
    project = project_of(common)
    with store_of(common, project, create=False) as store:
        known_case(store, case)
        if told.to is not None:
            return _send(project, store, case, told.to, common)
        n = _written(option, told, out, project, store, case)
    if common.json:
        print_json({"schema": "reroll.export/1", "file": str(out), "samples": n})
    elif out is not None:
        what = "pair" if told.form in ("preference", "openai-preference") else "sample"
        said = f"evaluations of {counts(what, n)}" if option == "--evaluations" else counts(what, n)
        print(f"wrote {said} to {out}", file=sys.stderr)
    return 0


def _chosen(told: Export, common: Common) -> tuple[str, Path | None]:
    """The option that says where to, and the file; None for stdout. Raises: UsageError for several."""
    files = {"--out": told.out, "--parquet": told.parquet, "--csv": told.csv, "--evaluations": told.evaluations}
    given = [*(name for name, value in files.items() if value is not None), *(["--to"] if told.to is not None else [])]
    if len(given) > 1:
        raise UsageError(f"export writes one thing; give {given[0]} or {given[1]}, not both")
    option = given[0] if given else "--out"
    for name in ("--csv", "--evaluations"):
        if str(files[name] or "").startswith("--"):
            raise UsageError(f"{name} wants a file, or - for stdout; got {files[name]}")
    if option != "--out" and told.form != "recorded":
        raise UsageError(f"--format {told.form} is written as JSON lines; take --out instead of {option}")
    out = files.get(option)
    out = None if out == STDOUT and option != "--parquet" else out
    if common.json and out is None and told.to is None:
        raise UsageError("export prints what it exports as it is; leave --json out, or name a file with --out")
    return option, out


def _written(option: str, told: Export, out: Path | None, project: Project, store: Store, case: str | None) -> int:
    """How many samples, or pairs of them, were written."""
    if out is None:
        return sum(WRITERS[option](told, project, store, case, sys.stdout))
    try:
        if option == "--parquet":
            from reroll.store_parquet import write_parquet

            return write_parquet(store.export(case_id=case, source=EXPORTED), out)
        with out.open("w", encoding="utf-8", newline="") as stream:
            return sum(WRITERS[option](told, project, store, case, stream))
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{out} cannot be written: {problem}; choose another {option}", slug="out") from None


def _lines(told: Export, project: Project, store: Store, case: str | None, stream: TextIO) -> Iterator[int]:
    """Recorded completions or training data, an object a line."""
    lines: Iterable[dict[str, Any]]
    if told.form == "recorded":
        lines = store.export(case_id=case, source=EXPORTED)
    else:
        from reroll.training_export import training_lines

        lines = training_lines(project, store, case, told.form)
    for row in lines:
        stream.write(fitting(row_json(row), stream.encoding) + "\n")
        yield 1


def _table(told: Export, project: Project, store: Store, case: str | None, stream: TextIO) -> Iterator[int]:
    from reroll.table_export import write_table

    return write_table(project, store, case, EXPORTED, stream)


def _evaluations(told: Export, project: Project, store: Store, case: str | None, stream: TextIO) -> Iterator[int]:
    """OTLP's JSON, an export a line, as collectors write it to files."""
    from reroll.evaluations import evaluation_exports

    for samples, one in evaluation_exports(project, store, case, EXPORTED):
        stream.write(fitting(row_json(one), stream.encoding) + "\n")
        yield samples


WRITERS: dict[str, Callable[[Export, Project, Store, str | None, TextIO], Iterator[int]]] = {
    "--out": _lines,
    "--csv": _table,
    "--evaluations": _evaluations,
}


def _send(project: Project, store: Store, case: str | None, to: str, common: Common) -> int:
    """Evaluation events to a collector; 4 where it took only some of them."""
    from reroll.evaluations import evaluation_exports
    from reroll.evaluations_sent import address_of, send

    sent = run(send(evaluation_exports(project, store, case, EXPORTED), to))
    if common.json:
        print_json({"schema": "reroll.export/1", "file": address_of(to), "samples": sent.samples})
    else:
        said = f"{counts('evaluation', sent.events)} of {counts('sample', sent.samples)}"
        print(f"sent {said} to {address_of(to)}", file=sys.stderr)
    if sent.refused:
        why = f": {sent.why}" if sent.why else ""
        print(f"the collector refused {counts('evaluation', sent.refused)}{why}", file=sys.stderr)
    return 4 if sent.refused else 0
