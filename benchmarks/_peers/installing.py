"""Every peer in an environment of its own, from exact pins; one that cannot be had says why.

The pins are here (promptfoo) and in the .txt files beside this one (Python, with everything below them). To move them:
`uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["HERE", "install", "promptfoo", "promptfoo_for", "python", "version", "why_not"]

HERE = Path(__file__).parent
THERE = HERE.parent / ".peers"  # git-ignored; about 2 GB
PYTHON_PEERS = ("openai", "pydantic-evals", "inspect-ai")
# Newest first, each with the oldest node that it runs on, as its package.json says.
PROMPTFOO = [("0.123.1", (22, 22)), ("0.121.20", (20, 20))]
PROMPTFOO_BEFORE = "2026-11-23"  # what it depends on is taken as of this day


def promptfoo_for(node: str) -> str | None:
    """The newest pinned promptfoo that this node runs.

    >>> promptfoo_for("v24.19.0"), promptfoo_for("v20.20.2"), promptfoo_for("v22.1.0"), promptfoo_for("v18.0.0")
    ('0.123.1', '0.121.20', None, None)
    """
    found = tuple(int(part) for part in node.strip().removeprefix("v").split(".")[:2])
    for release, oldest in PROMPTFOO:
        if found >= oldest and (oldest[0] != 20 or found[0] == 20):
            return release
    return None


def python(peer: str) -> Path | None:
    """The Python of a peer's environment, if it is installed."""
    found = THERE / peer / "bin" / "python"
    return found if found.exists() and (THERE / peer / "whole").exists() else None


def promptfoo() -> Path | None:
    found = THERE / "promptfoo" / "node_modules" / ".bin" / "promptfoo"
    return found if found.exists() and (THERE / "promptfoo" / "whole").exists() else None


def why_not(peer: str) -> str | None:
    """Why a peer is not there; None if it is."""
    if (promptfoo() if peer == "promptfoo" else python(peer)) is not None:
        return None
    reason = THERE / f"{peer}.why"
    return reason.read_text() if reason.exists() else "not installed; python benchmarks/peers.py --install"


def version(peer: str) -> str:
    """What is installed, read from the installation itself."""
    if peer == "promptfoo":
        package = json.loads((THERE / peer / "node_modules" / "promptfoo" / "package.json").read_text())
        return f"promptfoo {package['version']} (node {node_version()})"
    ask = "from importlib.metadata import version; import sys; print(*(f'{n} {version(n)}' for n in sys.argv[1:]))"
    names = ["openai"] if peer == "openai" else [peer, "openai"]
    return subprocess.check_output([str(python(peer)), "-c", ask, *names], text=True).strip()


def node_version() -> str:
    node = shutil.which("node")
    return subprocess.check_output([node, "--version"], text=True).strip().removeprefix("v") if node else ""


def install() -> None:
    """Install what is not there yet, and keep the reason where that cannot be; several minutes, about 2 GB."""
    THERE.mkdir(exist_ok=True)
    for peer in (*PYTHON_PEERS, "promptfoo"):
        if why_not(peer) is None:
            continue
        print(f"installing {peer} …", file=sys.stderr, flush=True)
        try:
            _install_promptfoo() if peer == "promptfoo" else _install_python(peer)
            (THERE / peer / "whole").touch()
            (THERE / f"{peer}.why").unlink(missing_ok=True)
        except (subprocess.CalledProcessError, LookupError) as problem:
            reason = str(problem.args[0]) if isinstance(problem, LookupError) else f"{problem.cmd[0]} failed"
            (THERE / f"{peer}.why").write_text(reason)
            print(f"{peer} could not be installed: {reason}", file=sys.stderr)


def _install_python(peer: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(THERE / peer)], check=True)
    pip = [str(THERE / peer / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--requirement", str(HERE / f"{peer}.txt")], check=True)


def _install_promptfoo() -> None:
    npm, node = shutil.which("npm"), node_version()
    release = promptfoo_for(node) if node else None
    if npm is None or release is None:
        raise LookupError(
            f"it needs npm and node 20.20 or at least 22.22; here is {f'node {node}' if node else 'none'}"
        )
    words = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", f"--before={PROMPTFOO_BEFORE}"]
    where = ["--prefix", str(THERE / "promptfoo")]
    subprocess.run([npm, "install", *where, *words, f"promptfoo@{release}"], check=True)
