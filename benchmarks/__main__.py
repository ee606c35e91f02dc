"""Run every benchmark of this folder and write what it prints: `python -m benchmarks [NAME ...]`.

Markdown goes to the terminal and to benchmarks/out/NAME.md. A benchmark is a script that prints
Markdown and one JSON block with machine, date and command.
"""

from __future__ import annotations

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
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
