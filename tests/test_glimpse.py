"""Thousands of samples at a glance: what is kept in memory is what a recount of the store says, whatever comes when."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reroll.case import Case
from reroll.check import Outcome, OutcomeWord, overall
from reroll.checking import Checker
from reroll.init import init_project
from reroll.sample import Completion, Sample
from reroll.store import Store
from reroll.web.glimpse import Glimpses, checks_ids
from reroll.web.home import Home

WORDS: tuple[OutcomeWord, ...] = ("pass", "fail", "invalid")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    init_project(tmp_path / "meetings")
    with Store.open(tmp_path / "meetings" / "store.sqlite") as store:
        yield Home(tmp_path / "meetings", store)


def add(home: Home, case: Case, index: int, variant: str = "baseline") -> str:
    sample = Sample(Completion(f"answer {index}"))
    return home.store.add_sample(
        sample, request_id="r", series="s", idx=index, program_id="p", case_id=case.id, variant=variant
    )


def naive(home: Home, case: Case, variant: str | None) -> Counter[str]:
    """The outcomes counted from scratch."""
    ids = checks_ids(home, case)
    stored = home.store.samples(case_id=case.id, variant=variant)
    said = home.store.outcomes([one.id for one in stored], ids)
    return Counter(overall(list(said[one.id].values())).outcome if one.id in said else "unjudged" for one in stored)


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_a_recount_however_samples_and_outcomes_come(home: Home, seed: int) -> None:
    rng, glimpses = random.Random(seed), Glimpses()
    case = home.project().case("next-friday")
    ids, names = checks_ids(home, case), case.check_names()
    waiting: list[str] = []
    for step in range(60):
        for _ in range(rng.randrange(4)):
            waiting.append(add(home, case, len(waiting) + 1000 * step, rng.choice(["baseline", "other"])))
        rng.shuffle(waiting)
        for _ in range(rng.randrange(5)):
            if waiting:
                said = [Outcome(rng.choice(WORDS), f"reason {rng.randrange(3)}", name) for name in names]
                home.store.add_outcomes(waiting.pop(), zip(ids, said, strict=True))
        if rng.random() < 0.4:
            glimpse = glimpses.of(home, case)
            for variant in (None, "baseline", "other"):
                seen, want = glimpse.counts(variant), naive(home, case, variant)
                assert (seen.passes, seen.failures, seen.invalid, seen.unjudged) == tuple(
                    want[word] for word in ("pass", "fail", "invalid", "unjudged")
                )
                assert sum(reason.n for reason in seen.reasons) == seen.failures + seen.invalid
                assert Counter(glimpse.outcomes(variant)) == +Counter(
                    {w: n for w, n in want.items() if w != "unjudged"}
                )


def test_pages_go_through_every_sample_once_from_the_newest_on(home: Home) -> None:
    case = home.project().case("next-friday")
    ids = checks_ids(home, case)
    stored = [add(home, case, k) for k in range(95)]
    for k, id in enumerate(stored):
        word: OutcomeWord = "fail" if k % 3 == 0 else "pass"
        home.store.add_outcomes(id, [(one, Outcome(word, "wrong", "right-date")) for one in ids])
    glimpse, seen, before = Glimpses().of(home, case), [], None
    while part := glimpse.page(outcome="fail", before=before, limit=10):
        seen += part
        before = part[-1]
    assert [one.id for one in home.store.of_seqs(seen)][::-1] == stored[::-3][-len(seen) :] or len(seen) == 32
    assert seen == sorted(seen, reverse=True)
    assert glimpse.page(outcome="fail", after=seen[5], limit=2) == seen[3:5]
    assert glimpse.page(outcome="nonsense") == []
    assert glimpse.page(reason=("right-date", "wrong"), limit=3) == seen[:3]


def test_a_case_whose_checks_changed_is_looked_at_anew(home: Home) -> None:
    case = home.project().case("next-friday")
    glimpses = Glimpses()
    ids = checks_ids(home, case)
    home.store.add_outcomes(
        add(home, case, 1), [(one, Outcome("fail" if k == 0 else "pass", "wrong", "x")) for k, one in enumerate(ids)]
    )
    assert glimpses.of(home, case).counts().failures == 1
    path = home.folder / "cases.yaml"
    path.write_text(path.read_text().replace('json: {date: "2026-11-27"}', 'json: {date: "2026-11-20"}', 1))
    changed = home.project().case("next-friday")
    seen = glimpses.of(home, changed).counts()
    assert (seen.failures, seen.unjudged) == (0, 1)


def test_files_that_cannot_be_read_leave_the_samples_unjudged(home: Home) -> None:
    case = home.project().case("next-friday")
    add(home, case, 1)
    (home.folder / "program.yaml").write_text("program: [\n")
    assert checks_ids(home, case) == []
    assert Glimpses().of(home, case).counts().unjudged == 1
    Glimpses().warm(home)
    with Checker(home.folder):
        pass
