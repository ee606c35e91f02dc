"""Run every benchmark of this folder and write what it prints: `python -m benchmarks [NAME ...]`.

Markdown goes to the terminal and to benchmarks/out/NAME.md. A benchmark is a script that prints
Markdown and one JSON block with machine, date and command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    wanted = sys.argv[1:]
    scripts = sorted(p for p in HERE.glob("*.py") if not p.name.startswith("_"))
    unknown = set(wanted) - {p.stem for p in scripts}
    if unknown:
        print(
            f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(p.stem for p in scripts)}",
            file=sys.stderr,
        )
        return 2
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    failed = []
    for script in scripts:
        if wanted and script.stem not in wanted:
            continue
        print(f"# {script.stem}\n", flush=True)
        started = time.perf_counter()
        run = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False)
        print(run.stdout)
        (out / f"{script.stem}.md").write_text(run.stdout, encoding="utf-8")
        print(f"({script.stem}: {time.perf_counter() - started:.0f} s)\n", flush=True)
        if run.returncode:
            failed.append(script.stem)
    summary = _bars(out)
    print(summary)
    (out / "_bars.md").write_text(summary, encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _bars(out: Path) -> str:
    """Every promise beside what was last measured, from what the benchmarks printed."""
    lines = ["# Bars", "", "| benchmark | question | measured | bar | met |", "|---|---|---|---|---|"]
    for page in sorted(out.glob("[!_]*.md")):
        blocks = page.read_text(encoding="utf-8").split("```json\n")
        if len(blocks) < 2:
            continue
        for bar in json.loads(blocks[-1].split("\n```")[0]).get("bars", []):
            sign = "≤" if bar["most"] else "≥"
            met = "yes" if bar["met"] else "**no**"
            lines.append(
                f"| {page.stem} | {bar['question']} | {bar['measured']:.4g} | {sign} {bar['bar']:.4g} | {met} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
