"""How soon reroll starts and how much it installs: help, import, demo, and the size of a core installation.

    python benchmarks/startup.py               Markdown, then one JSON block (about two minutes)
    python benchmarks/startup.py --no-install  without the installation, which needs a package index
    python benchmarks/startup.py --out X.json  also writes the JSON to a file

Every command takes turns with `python -c pass`, so that both meet the same load; a ratio is the median
over rounds. The first round fills the disk cache and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _report import Report

ROOT = Path(__file__).parent.parent
BARS = {"reroll --help": 0.5, "import reroll": 0.3, "reroll demo": 60.0}  # seconds
BAR_MB = 300
NOTHING = [sys.executable, "-c", "pass"]
# Runs in the new environment: the distributions that reroll needs, and the bytes of their files.
CLOSURE = """
import json
from importlib.metadata import distribution, distributions
from packaging.requirements import Requirement

have = {d.metadata["Name"].lower().replace("_", "-") for d in distributions()}
todo, core = ["reroll"], {}
while todo:
    name = todo.pop()
    if name in core or name not in have:
        continue
    found = distribution(name)
    files = [found.locate_file(f) for f in found.files or ()]
    core[name] = sum(f.stat().st_size for f in files if f.is_file())
    for line in found.requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            todo.append(wanted.name.lower().replace("_", "-"))
print(json.dumps({"core": core, "installed": len(have - {"pip", "setuptools"})}))
"""


def seconds(command: list[str]) -> float:
    """Wall seconds of one process. Raises: SystemExit with its words where it fails."""
    started = time.perf_counter()
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    took = time.perf_counter() - started
    if run.returncode:
        sys.exit(f"{shlex.join(command)} ended with {run.returncode}: {run.stderr.strip()[-400:]}")
    return took


def beside_nothing(name: str, command: list[str], rounds: int) -> dict[str, Any]:
    """The command and `python -c pass` in turns: medians, the range, and the median ratio."""
    seconds(command)
    pairs = [(seconds(command), seconds(NOTHING)) for _ in range(rounds)]
    ours = [pair[0] for pair in pairs]
    return {
        "what": name,
        "bar_seconds": BARS[name],
        "seconds": round(statistics.median(ours), 3),
        "range": [round(min(ours), 3), round(max(ours), 3)],
        "nothing_seconds": round(statistics.median(pair[1] for pair in pairs), 4),
        "ratio": round(statistics.median(a / b for a, b in pairs), 1),
        "rounds": rounds,
    }


def installed() -> dict[str, Any]:
    """Bytes and distributions of what `requirements.lock` and the package install into an empty environment."""
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="reroll-size-") as folder:
        home = Path(folder)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
        subprocess.run([python, *pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")], check=True)
        subprocess.run([python, *pip, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)
        took = time.perf_counter() - started
        found = json.loads(subprocess.run([python, "-c", CLOSURE], check=True, capture_output=True, text=True).stdout)
        places = [p for p in home.rglob("site-packages") if p.is_dir()]
        everything = sum(
            f.stat().st_size
            for place in places
            for f in place.rglob("*")
            if f.is_file() and not f.relative_to(place).parts[0].startswith(("pip", "setuptools"))
        )
    core = found["core"]
    largest = sorted(core.items(), key=lambda pair: -pair[1])[:6]
    return {
        "bar_mb": BAR_MB,
        "core_mb": round(sum(core.values()) / 1e6, 1),
        "core_distributions": len(core),
        "site_packages_mb": round(everything / 1e6, 1),
        "installed_distributions": found["installed"],
        "largest_mb": {name: round(size / 1e6, 1) for name, size in largest},
        "install_seconds": round(took, 1),
    }


def tables(kept: Report, starts: list[dict[str, Any]], size: dict[str, Any] | None) -> None:
    kept.add(
        "starts",
        "Until it has ended, in turns with `python -c pass`",
        ["command", "median s (range)", "rounds", "bar s", "times `python -c pass`"],
        [
            [
                f"`{r['what']}`",
                f"{r['seconds']:g} ({r['range'][0]:g}–{r['range'][1]:g})",
                r["rounds"],
                f"{r['bar_seconds']:g}",
                f"{r['ratio']:g}",
            ]
            for r in starts
        ],
    )
    if size:
        largest = [[f"of these {name}, MB", f"{mb:g}"] for name, mb in size["largest_mb"].items()]
        kept.add(
            "size",
            "What is installed, compiled",
            ["what", "measured"],
            [
                [f"a core, MB (bar {size['bar_mb']})", f"{size['core_mb']:g}"],
                ["distributions of a core", size["core_distributions"]],
                *largest,
                ["with the build tools of the lock file, MB", f"{size['site_packages_mb']:g}"],
                ["seconds until it is installed", f"{size['install_seconds']:g}"],
            ],
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="of help and import; the demo runs a third of it")
    parser.add_argument("--no-install", action="store_true", help="do not measure an installation")
    parser.add_argument("--out", help="also write the JSON to this file")
    args = parser.parse_args()
    reroll = [sys.executable, "-m", "reroll"]
    kept = Report.of("startup", args)
    starts = [
        beside_nothing("reroll --help", [*reroll, "--help"], args.rounds),
        beside_nothing("import reroll", [sys.executable, "-c", "import reroll"], args.rounds),
        beside_nothing("reroll demo", [*reroll, "demo", "--quiet"], max(1, args.rounds // 3)),
    ]
    size = None if args.no_install else installed()
    tables(kept, starts, size)
    for start in starts:
        kept.bar(f"seconds of {start['what']}, median", start["seconds"], start["bar_seconds"], unit="s")
    if size:
        kept.bar("MB of an installed core", size["core_mb"], BAR_MB, unit="MB")
    return kept.finish()


if __name__ == "__main__":
    raise SystemExit(main())
