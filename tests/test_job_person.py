"""A person whom a job asks on its page: waited for where they are the check, and else not for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reroll.check import UNSURE, Check, Outcome, Surroundings
from reroll.job_person import person_of_job
from reroll.person import LABEL, Person
from reroll.sample import Completion, Sample
from reroll.store import Store
from tests.pages import until

OWN = Check.of("person", "Is it polite?")
LABELS = Check.of("person", "Is this answer right, all in all?", name=LABEL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as store:
        yield store


@pytest.fixture
def job(store: Store) -> str:
    made, _ = store.ask_job(["cause", "--", "a"], key="k", title="t", by="ana")
    assert store.claim_job(made.id, "w")
    return made.id


def asked(person: Person, check: Check) -> Callable[[], Outcome]:
    sample = Sample(Completion("Good day"))
    return lambda: person(check, sample, Surroundings(input={"request": "Greet me"}))


@pytest.mark.parametrize(("word", "outcome"), [("pass", "pass"), ("fail", "fail"), ("unsure", "invalid")])
def test_what_somebody_says_on_the_page_is_the_outcome(
    store: Store, job: str, word: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    look = store.answer_of
    monkeypatch.setattr(store, "answer_of", lambda id, n: (looked.append(n), look(id, n))[1])
    with ThreadPoolExecutor(1) as waits:
        said = waits.submit(asked(person_of_job(store, job, patience=0), OWN))
        until(lambda: store.open_question(job) is not None)
        n, question = store.open_question(job) or (0, {})
        assert question["text"] == "Good day"
        assert "optional" not in question
        looks = len(looked)
        until(lambda: len(looked) > looks + 3)  # and on it waits
        assert not said.done()
        assert store.answer_question(job, n, word, "lena")
        assert said.result(20).outcome == outcome


def test_what_may_stay_open_is_not_waited_for_for_ever_and_nothing_more_is_asked(store: Store, job: str) -> None:
    person = person_of_job(store, job, patience=0)
    assert asked(person, LABELS)() == Outcome("invalid", UNSURE)
    assert store.open_question(job) is None
    assert store.answer_of(job, 0) == "skip"
    assert asked(person, LABELS)() == Outcome("invalid", UNSURE)
    assert store.answer_of(job, 1) is None  # it was not even asked


def test_whoever_skips_one_such_question_is_asked_no_other_but_a_check_is_still_theirs(store: Store, job: str) -> None:
    person = person_of_job(store, job)
    with ThreadPoolExecutor(1) as waits:
        said = waits.submit(asked(person, LABELS))
        until(lambda: store.open_question(job) is not None)
        assert (store.open_question(job) or (0, {}))[1]["optional"] is True
        store.answer_question(job, 0, "skip", "lena")
        assert said.result(20) == Outcome("invalid", UNSURE)
        assert asked(person, LABELS)() == Outcome("invalid", UNSURE)
        own = waits.submit(asked(person, OWN))
        until(lambda: store.open_question(job) is not None)
        store.answer_question(job, 1, "pass", "lena")
        assert own.result(20).outcome == "pass"


def test_a_job_that_is_to_stop_waits_for_nobody(store: Store, job: str) -> None:
    store.stop_job(job)
    with pytest.raises(KeyboardInterrupt):
        asked(person_of_job(store, job), OWN)()
