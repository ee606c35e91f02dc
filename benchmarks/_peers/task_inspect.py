"""The same job as an Inspect task; and, run as a script with Inspect's Python, what a folder of its logs holds."""

import json
import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message


@task
def greeting() -> Task:
    return Task(
        dataset=[Sample(input="Say yes", target="yes")],
        solver=[system_message("Be kind."), generate()],
        scorer=includes(),
    )


def recount(folder: str) -> dict[str, object]:
    """Of the newest log: samples with an answer and with an error, those that passed, model calls with retries."""
    log = read_eval_log(str(max(Path(folder).glob("*.eval"), key=lambda path: path.stat().st_mtime_ns)))
    samples = log.samples or []
    done = [s for s in samples if s.error is None and s.output.choices and s.scores]
    calls = [e for s in samples for e in s.events if e.event == "model"]
    return {
        "status": log.status,
        "answers": len(done),
        "passed": sum(s.scores["includes"].value == "C" for s in done),
        "errors": sum(s.error is not None for s in samples),
        "attempts": sum(1 + (e.retries or 0) for e in calls) + sum(len(s.error_retries or []) for s in samples),
        "log": log.location,
    }


if __name__ == "__main__":
    print(json.dumps(recount(sys.argv[1])))
