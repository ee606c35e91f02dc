"""One job for every tool: the same prompt N times, `contains "yes"`; how each is asked, counted again, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from _peers import installing
from kills import command as certify
from kills import project

__all__ = ["JOBS", "Asked", "Job", "Kept", "environment", "kept_lines", "versions", "why_not"]

# The last: with its debug log promptfoo may end with "write after end" on a busy machine, all rows written.
SILENT = ("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "DEBUG_LOG")
PROMPT = '[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say yes"}]'


@dataclass(frozen=True)
class Asked:
    """One run of a job: where it may write, whom it asks, how often, how many at once, seconds a try may take.

    `also` turns on what a tool has for servers that fail and does not do of itself.
    """

    folder: Path
    url: str
    n: int
    width: int
    seconds: float = 60.0
    also: bool = False


@dataclass(frozen=True)
class Kept:
    """What a tool wrote down: rows with an answer, of these passed, rows recorded as errors, tries it kept a record of,
    and what the tool itself says of the run."""

    answers: int = 0
    passed: int = 0
    errors: int = 0
    attempts: int = 0
    says: str = ""


@dataclass(frozen=True)
class Job:
    """A tool: its name, how to ask it, how to count what it kept, how to go on after a kill (None: it cannot), and in
    plain words what `also` adds (empty: nothing to add)."""

    name: str
    ask: Callable[[Asked], list[str]]
    kept: Callable[[Asked], Kept]
    resume: Callable[[Asked], list[str]] | None = None
    also: str = ""


def environment(asked: Asked) -> dict[str, str]:
    """The same for all: a home of its own, no key, nothing that looks for the network, loopback past every proxy."""
    own = {"HOME": str(asked.folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "OPENAI_API_KEY": "none"}
    own |= {"XDG_DATA_HOME": str(asked.folder / "data"), "XDG_CACHE_HOME": str(asked.folder / "cache")}
    own |= {f"PROMPTFOO_DISABLE_{what}": "1" for what in SILENT}
    own |= {
        "PROMPTFOO_CONFIG_DIR": str(asked.folder / "promptfoo"),
        "REROLL_TIMEOUT": str(asked.seconds),
        "REROLL_DEBUG": "1",
    }
    own |= {"REQUEST_TIMEOUT_MS": str(round(1000 * asked.seconds))}
    if asked.also:
        own |= {"PROMPTFOO_RETRY_5XX": "true"}
    # Commands run elsewhere, so a path to this checkout must not be relative.
    path = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(path)}


# -- reroll ------------------------------------------------------------------------------------------------------------


def _ask_reroll(asked: Asked) -> list[str]:
    """Nothing short of 29,956 passes decides this, so it draws its whole budget."""
    return certify(project(asked.folder / "project", asked.url), asked.n, asked.width)


def _resume_reroll(asked: Asked) -> list[str]:
    """A budget is what one command may spend; with what is stored it makes up the same number."""
    kept = _kept_reroll(asked)
    return certify(asked.folder / "project", asked.n - kept.answers - kept.errors, asked.width)


def _kept_reroll(asked: Asked) -> Kept:
    store = asked.folder / "project" / ".reroll" / "store.sqlite"
    if not store.exists():
        return Kept()
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        answers = db.execute("SELECT count(*) FROM samples WHERE error IS NULL").fetchone()[0]
        errors = db.execute("SELECT count(*) FROM samples WHERE error IS NOT NULL").fetchone()[0]
        passed = db.execute("SELECT count(*) FROM outcomes WHERE outcome = 'pass'").fetchone()[0]
        return Kept(answers, passed, errors, db.execute("SELECT count(*) FROM attempts").fetchone()[0])


# -- loops in Python ---------------------------------------------------------------------------------------------------


def _loop(peer: str, script: str) -> Callable[[Asked], list[str]]:
    def ask(asked: Asked) -> list[str]:
        words = [asked.url, asked.n, asked.width, asked.seconds, asked.folder / "rows.jsonl"]
        return [str(installing.python(peer)), str(installing.HERE / script), *map(str, words)]

    return ask


def kept_lines(asked: Asked) -> Kept:
    """What a loop wrote, whole lines only; the client's retries are in none of them."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in (asked.folder / "rows.jsonl").read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    errors = sum("error" in row for row in rows)
    return Kept(len(rows) - errors, sum(row.get("passed") is True for row in rows), errors, len(rows))


# -- Inspect -----------------------------------------------------------------------------------------------------------


def _inspect(asked: Asked, *words: str) -> list[str]:
    folder = asked.folder
    shutil.copyfile(installing.HERE / "task_inspect.py", folder / "task_inspect.py")  # it takes no absolute path
    python = installing.python("inspect-ai")
    width = ["--max-connections", str(asked.width), "--max-samples", str(asked.width)]
    return [str(python), "-m", "inspect_ai", *words, *width, "--log-dir", str(folder / "logs"), "--display", "none"]


def _ask_inspect(asked: Asked) -> list[str]:
    words = [
        "eval",
        "task_inspect.py",
        "--model",
        "openai/tiny",
        "--model-base-url",
        asked.url,
        "-M",
        "responses_api=false",
    ]
    seconds = ["--epochs", str(asked.n), "--attempt-timeout", str(round(asked.seconds))]
    more = ["--no-fail-on-error", "--retry-on-error=2"] if asked.also else []
    return _inspect(asked, *words, *seconds, *more)


def _look_inspect(asked: Asked) -> dict[str, object]:
    if not list((asked.folder / "logs").glob("*.eval")):
        return {}
    script = [
        str(installing.python("inspect-ai")),
        str(installing.HERE / "task_inspect.py"),
        str(asked.folder / "logs"),
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment(asked))
    if done.returncode:
        return {"status": "log unreadable: " + done.stderr.strip().splitlines()[-1][:80]}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _kept_inspect(asked: Asked) -> Kept:
    found = _look_inspect(asked)
    counts = [int(str(found.get(name, 0))) for name in ("answers", "passed", "errors", "attempts")]
    return Kept(*counts, says=f"status: {found.get('status', 'no log')}")


def _resume_inspect(asked: Asked) -> list[str]:
    return _inspect(asked, "eval-retry", str(_look_inspect(asked)["log"]))


# -- promptfoo ---------------------------------------------------------------------------------------------------------


def _promptfoo(asked: Asked, *words: str) -> list[str]:
    quiet = ["--no-cache", "--no-table", "--no-progress-bar", "--no-share", "-j", str(asked.width)]
    return [str(installing.promptfoo()), "eval", *words, *quiet]


def _ask_promptfoo(asked: Asked) -> list[str]:
    told = {
        "prompts": [PROMPT],  # in a file of its own, `--resume` finds no test left to run
        "providers": [{"id": "openai:chat:tiny", "config": {"apiBaseUrl": asked.url, "apiKey": "none"}}],
        "tests": [{"assert": [{"type": "contains", "value": "yes"}]}],
    }
    (asked.folder / "config.json").write_text(json.dumps(told))
    return _promptfoo(asked, "-c", str(asked.folder / "config.json"), "--repeat", str(asked.n))


def _kept_promptfoo(asked: Asked) -> Kept:
    """Of its database: `failure_reason` is 0 for none, 1 for a failed assertion, 2 for an error."""
    file = asked.folder / "promptfoo" / "promptfoo.db"
    if not file.exists():
        return Kept()
    with contextlib.closing(sqlite3.connect(file)) as db:
        count = "SELECT count(*), coalesce(sum(success), 0), coalesce(sum(failure_reason = 2), 0) FROM eval_results"
        rows, passed, errors = db.execute(count).fetchone()
        counted = []
        for (prompts,) in db.execute("SELECT prompts FROM evals"):
            for prompt in json.loads(prompts or "[]"):
                metrics = prompt.get("metrics") or {}
                counted.append(sum(metrics.get(f"test{kind}Count", 0) for kind in ("Pass", "Fail", "Error")))
        return Kept(rows - errors, passed, errors, rows, f"its summary counts {sum(counted)}" if counted else "")


def _resume_promptfoo(asked: Asked) -> list[str]:
    return _promptfoo(asked, "--resume")


JOBS: dict[str, Job] = {
    "reroll": Job("reroll certify", _ask_reroll, _kept_reroll, _resume_reroll),
    "openai": Job("bare openai loop", _loop("openai", "loop_openai.py"), kept_lines),
    "pydantic-evals": Job("pydantic-evals", _loop("pydantic-evals", "loop_pydantic_evals.py"), kept_lines),
    "promptfoo": Job("promptfoo", _ask_promptfoo, _kept_promptfoo, _resume_promptfoo, "PROMPTFOO_RETRY_5XX=true"),
    "inspect-ai": Job("Inspect", _ask_inspect, _kept_inspect, _resume_inspect, "--no-fail-on-error --retry-on-error=2"),
}


def why_not(peer: str) -> str | None:
    return None if peer == "reroll" else installing.why_not(peer)


def versions(peer: str) -> str:
    if peer == "reroll":
        from reroll import __version__

        return f"reroll {__version__} (Python {sys.version.split()[0]})"
    return installing.version(peer)
