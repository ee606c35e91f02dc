"""Every command under every kind of failure: exit code, one sentence, nothing that came is lost, and it goes on.

    python benchmarks/faults.py                 the whole matrix
    python benchmarks/faults.py --every 5       every fifth cell
    python benchmarks/faults.py --first 301     from the 301st on, say beside another that does those before

Commands and failures stand in tests/faults.py. A cell is a project of its own with earlier runs: the command runs under
the failure, then once more without it. Of each cell must hold: an exit code that there is; with 2 exactly one sentence,
whose name is in docs/messages.md, and nothing on stdout; no traceback, nothing unforeseen; the database sound, no slot
twice, no earlier sample gone; for commands whose calls are all draws, as many attempts stored as the server got calls
and as many completions as it gave; and afterwards the same command does its work.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from tests import faults  # noqa: E402

from _report import Report  # noqa: E402


def main() -> int:
    report = Report("faults", __doc__, every=1, first=1, last=10_000)
    commands = [*faults.CALLING, *faults.READING]
    pairs = [(c, f) for f in faults.FAULTS for c in commands if faults.applies(c, f)]
    pairs = pairs[report.args.first - 1 : report.args.last : report.args.every]
    cells = {}
    with tempfile.TemporaryDirectory() as name, faults.ground(Path(name)) as there:
        for command, fault in pairs:
            cell = cells[command, fault] = faults.try_cell(there, command, fault, Path(name))
            print(f"{command}, {fault}: {cell.shown} {'; '.join(cell.wrong)}", file=sys.stderr, flush=True)
    for title, named in (("Commands that make calls", faults.CALLING), ("Commands that read", faults.READING)):
        struck = [f for f in faults.FAULTS if any(faults.applies(c, f) for c in named)]
        struck = [f for f in struck if any((c, f) in cells for c in named)]
        rows = [
            [faults.FAULTS[f].words, *(cells[c, f].shown if (c, f) in cells else "–" for c in named)] for f in struck
        ]
        report.add(title.lower().replace(" ", "_"), title, ["failure", *named], rows)
    wrong = [[c, f, "; ".join(cell.wrong)] for (c, f), cell in cells.items() if cell.wrong]
    if wrong:
        report.add("wrong", "What does not hold", ["command", "failure", "what"], wrong)
    report.report["cells"] = len(cells)
    print(f"{len(cells)} cells, {len(faults.EXCUSED)} commands elsewhere: {', '.join(faults.EXCUSED)}\n")
    report.bar("cells in which something does not hold", len(wrong), 0)
    report.bar("commands that are in no list", len(faults.named_commands() ^ {*commands, *faults.EXCUSED}), 0)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
