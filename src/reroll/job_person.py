"""A person, as a job asks one: the question is put on the job's page, and whoever answers there is the person."""

from __future__ import annotations

import time
from typing import Any

from reroll.check import Check, Outcome, Surroundings
from reroll.person import Person, outcome_of, question_about
from reroll.sample import Sample
from reroll.store import Store

__all__ = ["person_of_job"]

EVERY = 0.05  # seconds between looks for the answer


def person_of_job(store: Store, job_id: str) -> Person:
    """Asks through the store and waits for the answer. What waits when the job is to stop is nobody's judgement."""

    def ask(check: Check, sample: Sample, around: Surroundings) -> Outcome:
        question: dict[str, Any] = question_about(check, sample, around)
        n = store.ask_person(job_id, question)
        while (said := store.answer_of(job_id, n)) is None:
            job = store.job(job_id)
            if job.stop_us is not None or not job.active:
                raise KeyboardInterrupt
            time.sleep(EVERY)
        return outcome_of(said)

    return ask
