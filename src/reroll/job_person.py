"""A person, as a job asks one: the question is put on the job's page, and whoever answers there is the person.

Run by a job as its `--person` command: a sample as JSON on stdin, `pass`, `fail` or `unsure` on stdout.
"""

from __future__ import annotations

import json
import sys
import time

from reroll.errors import RerollError
from reroll.store import Store

__all__ = ["main"]

EVERY = 0.1  # seconds between looks for the answer
INTERRUPTED = 130  # as if by Ctrl-C: whoever asked takes it for nobody's judgement


def main(job_id: str, store: str) -> int:
    """Ask, and wait for the answer; ends as if by Ctrl-C when the job is to stop."""
    question = json.loads(sys.stdin.read())
    try:
        with Store.open(store, create=False) as opened:
            n = opened.ask_person(job_id, question)
            while (said := opened.answer_of(job_id, n)) is None:
                job = opened.job(job_id)
                if job.stop_us is not None or not job.active:
                    return INTERRUPTED
                time.sleep(EVERY)
    except RerollError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
