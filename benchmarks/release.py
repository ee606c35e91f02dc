"""Whether what is released installs and works for somebody who has nothing but Python and an index of packages.

    python benchmarks/release.py                        Markdown, then one JSON block (some minutes for each Python)
    python benchmarks/release.py --python /usr/bin/python3.13 --python ...   these instead of all that are found

Wheel and sdist are built twice and compared byte by byte. On each Python the wheel is installed by pip into an empty
environment, by its own lower bounds and not from the lock; then the sdist takes its place. After each, in a folder that
knows nothing of the source: `--version`, `doctor`, `demo`, a project made and measured, and `serve` opened by its link.
"""

from __future__ import annotations

import argparse
import filecmp
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _report import Report

ROOT = Path(__file__).parent.parent
LEAST = (3, 11)
MINUTES = 15  # that one command may take


class Broken(Exception):
    """A step did not do what it must; the text says which and what it said."""


def pythons() -> Iterator[Path]:
    """Every Python that is new enough, one for each minor version: of PATH, then of pyenv."""
    names = [f"python3.{minor}" for minor in range(LEAST[1], 20)]
    found = [Path(path) for name in names if (path := shutil.which(name))]
    found += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python"))
    known: set[tuple[int, ...]] = set()
    for path in found:
        version = version_of(path)
        if version >= LEAST and version[:2] not in known:
            known.add(version[:2])
            yield path


def version_of(python: Path) -> tuple[int, ...]:
    words = [str(python), "-c", "import sys, venv, ensurepip; print(*sys.version_info[:3])"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0,)


def run(*words: str | Path, cwd: Path) -> str:
    """What it printed. Raises: Broken."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REROLL", "VIRTUAL"))}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, capture_output=True, text=True, env=kept, timeout=60 * MINUTES, check=False
    )
    if done.returncode:
        raise Broken(f"`{' '.join(map(str, words[-4:]))}` ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def built(folder: Path) -> list[Path]:
    """Wheel and sdist. Raises: Broken where building them twice gives two results."""
    for one in ("a", "b"):
        run(sys.executable, "-m", "hatchling", "build", "-d", folder / one, cwd=ROOT)
    files = sorted((folder / "a").iterdir())
    for path in files:
        if not filecmp.cmp(path, folder / "b" / path.name, shallow=False):
            raise Broken(f"{path.name} has other bytes when it is built again")
    return files


def works(home: Path, folder: Path) -> dict[str, float]:
    """Wall seconds of each step with the reroll of this environment. Raises: Broken."""
    reroll = home / ("Scripts" if os.name == "nt" else "bin") / "reroll"
    took: dict[str, float] = {}

    def step(name: str, *words: str | Path) -> str:
        started = time.perf_counter()
        said = run(reroll, *words, cwd=folder)
        took[name] = round(time.perf_counter() - started, 1)
        return said

    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    if step("--version", "--version").strip() != version[1]:
        raise Broken("`reroll --version` says another version")
    answer = json.loads(step("demo", "demo", "--json"))
    if answer["luck"]["verdict"] != "worse_than_reference":
        raise Broken(f"the demo says {answer['luck']['verdict']}")
    step("init", "init", "meetings")
    json.loads(step("doctor", "doctor", "--project", "meetings", "--json"))
    rate = json.loads(step("rerun", "rerun", "half-seven", "--project", "meetings", "--budget", "12", "--json"))
    if "rate" not in json.dumps(rate):
        raise Broken("`rerun` measured nothing")
    started = time.perf_counter()
    pages(reroll, folder)
    took["serve"] = round(time.perf_counter() - started, 1)
    return took


def pages(reroll: Path, folder: Path) -> None:
    """`serve` starts, its link opens the pages, what they load is there, and it ends. Raises: Broken."""
    words = [str(reroll), "serve", "--port", "0", "--project", "meetings"]
    server = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        said: list[str] = []
        link = ""
        for line in server.stderr:
            said.append(line)
            if found := re.search(r"Open (http://\S+)", line):
                link = found[1]
                break
        if not link:
            raise Broken(f"`serve` says no link: {''.join(said).strip()[-600:]}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        inside = opener.open(link, timeout=60).read().decode()
        base = link.partition("/?")[0]
        for path in (
            "/cases/half-seven",
            "/learn",
            "/settings",
            *re.findall(r'(?:src|href)="(/static/[^"]+)"', inside),
        ):
            if opener.open(base + path, timeout=60).status != 200:
                raise Broken(f"{path} is not there")
    finally:
        server.terminate()
        server.wait(timeout=60)


def on(python: Path, files: list[Path]) -> Iterator[dict[str, Any]]:
    """A row for each artefact on this Python; `problem` is empty where all went well."""
    version = ".".join(map(str, version_of(python)))
    with tempfile.TemporaryDirectory(prefix="reroll-release-") as name:
        home, folder = Path(name) / "env", Path(name) / "work"
        folder.mkdir()
        run(python, "-m", "venv", home, cwd=folder)
        inside = home / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = (inside, "-m", "pip", "--disable-pip-version-check")
        for file in sorted(files, key=lambda path: path.suffix != ".whl"):
            row: dict[str, Any] = {"python": version, "file": file.name, "problem": "", "seconds": {}}
            started = time.perf_counter()
            try:
                if file.suffix != ".whl":
                    run(*pip, "uninstall", "--quiet", "--yes", "reroll", cwd=folder)
                    shutil.rmtree(folder)
                    folder.mkdir()
                run(*pip, "install", "--quiet", file, cwd=folder)
                installing = round(time.perf_counter() - started, 1)
                run(*pip, "check", cwd=folder)
                row["packages"] = len(json.loads(run(*pip, "list", "--format", "json", cwd=folder)))
                row["seconds"] = {"install": installing, **works(home, folder)}
            except (Broken, OSError, subprocess.TimeoutExpired) as error:
                row["problem"] = str(error)
            print(f"{version}, {file.name}: {row['problem'] or 'works'}", file=sys.stderr, flush=True)
            yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", type=Path, help="a Python to install for; several times")
    parser.add_argument("--out", help="also write the JSON to this file")
    args = parser.parse_args()
    kept = Report.of("release", args)
    with tempfile.TemporaryDirectory(prefix="reroll-dist-") as name:
        files = built(Path(name))
        kept.report["bytes"] = {file.name: file.stat().st_size for file in files}
        kept.report["installed"] = [row for python in args.python or pythons() for row in on(python, files)]
    rows = kept.report.pop("installed")
    steps = ("install", "demo", "serve")
    kept.add(
        "installed",
        "Wheel and sdist in empty environments",
        ["Python", "file", "works", *(f"{step}, s" for step in steps)],
        [
            [row["python"], row["file"], row["problem"] or "yes", *(row["seconds"].get(step, "") for step in steps)]
            for row in rows
        ],
    )
    kept.bar("artefacts that do not work on a Python", sum(bool(row["problem"]) for row in rows), 0)
    for file, size in kept.report["bytes"].items():
        kept.bar(f"MB of {file}", round(size / 1e6, 2), 4, unit="MB")
    return kept.finish() or int(any(row["problem"] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
