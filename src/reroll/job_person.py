"""A person, as a job asks one: the question is put on the job's page, and whoever answers there is the person."""

from __future__ import annotations

import time
from typing import Any

from reroll.check import UNSURE, Check, Outcome, Surroundings
from reroll.person import LABEL, Person, outcome_of, question_about
from reroll.sample import Sample
from reroll.store import Store

__all__ = ["PATIENCE", "person_of_job"]

EVERY, SELDOM = 0.05, 0.5  # seconds between looks for the answer: at first, and after a while
PATIENCE = 120.0  # seconds that a question which may stay open is waited for
SKIP = "skip"


def person_of_job(store: Store, job_id: str, patience: float = PATIENCE) -> Person:
    """Asks through the store and waits for the answer. What waits when the job is to stop is nobody's judgement.

    Where a person is the check, nothing is known before they answer: it waits. What only tells how far the checks are
    right may stay open: where nobody answers within `patience` seconds, or somebody says `skip`, it is nobody's
    judgement and nothing more of the kind is asked.
    """
    there = True

    def ask(check: Check, sample: Sample, around: Surroundings) -> Outcome:
        nonlocal there
        optional = check.name == LABEL
        if optional and not there:
            return Outcome("invalid", UNSURE)
        question: dict[str, Any] = question_about(check, sample, around)
        n = store.ask_person(job_id, question)
        end, pause = time.monotonic() + patience, EVERY
        while (said := store.answer_of(job_id, n)) is None:
            job = store.job(job_id)
            if job.stop_us is not None or not job.active:
                raise KeyboardInterrupt
            if optional and time.monotonic() > end and store.answer_question(job_id, n, SKIP, ""):
                continue
            time.sleep(pause)
            pause = min(SELDOM, 1.05 * pause)
        if said == SKIP:
            there = not optional
            return Outcome("invalid", UNSURE)
        return outcome_of(said)

    return ask
