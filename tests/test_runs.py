"""Runs are small in memory, and yet what a plain list of them would be: in order, whole, and never another verdict."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll import conclude
from reroll import runs as runs_module
from reroll.calibrate import met_boundary, not_met_boundary
from reroll.case import Case
from reroll.check import Check, Outcome, overall
from reroll.checking import Checker
from reroll.conclude import Seen, three_samples
from reroll.models.registry import open_model
from reroll.outcomes import Outcomes
from reroll.program import Program
from reroll.project import Project
from reroll.race import Race, first_crossing
from reroll.runs import Judged, Room, Runs
from reroll.sample import Attempt, Completion, Sample, Usage
from reroll.session import Options, Session, Slots, exploratory, judged, slots
from reroll.store import NewSample, Store

WORDS = ("pass", "fail", "invalid")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A real store and a real checker with a case of two checks; nothing is drawn, so the model is never asked."""
    program = Program(program="p", model="python:nobody:asks", user="{x}")
    checks = (Check.of("contains", "yes", name="says-yes"), Check.of("not", Check.of("contains", "rude")))
    case = Case(id="c", input={"x": "1"}, checks=checks)
    (tmp_path / "nobody.py").write_text("def asks(request): return ''\n")
    with Store.open(tmp_path / "store.sqlite") as store, Checker(tmp_path) as checker:
        model = open_model("python:nobody:asks", project=tmp_path)
        yield Session(Project(tmp_path, program, (case,), (), ()), store, model, checker, Options())


def at_home(session: Session) -> Slots:
    return slots(session, session.project.cases[0])


def put(session: Session, indices: list[int], texts: list[str], *, days: bool = False) -> list[int]:
    """Samples stored together, with `days` as if on several days; their `seq`."""
    at = at_home(session)
    new = [
        NewSample(
            Sample(
                Completion(text, "stop"),
                attempts=(Attempt(1.0, 0.5, 200, None, 0.0, None),),
                usage=Usage(5, 1),
                model=None if idx % 3 else f"m{idx}",
            ),
            request_id=at.request_id,
            series=at.series,
            idx=idx,
            program_id="p",
            case_id="c",
            choice=idx % 2 if idx > 40 else 0,
            settled=time.time() + 50_000 * (idx % 7) if days else None,
        )
        for idx, text in zip(indices, texts, strict=True)
    ]
    ids = session.store.add_samples(new)
    seqs = {one.id: one.seq for one in session.store.samples(request_id=at.request_id)}
    return [seqs[id] for id in ids]


def plain(session: Session, horizon: int | None = None) -> list[Judged]:
    """What `judged` was before there were `Runs`: a list of everything, sorted by index."""
    at = at_home(session)
    ids = session.checker.ids(at.case, session.judging)
    stored = session.store.samples(request_id=at.request_id, series=at.series, source="draw", after=session.since)
    said = session.store.outcomes([s.id for s in stored], ids)
    found = [Judged(s, overall(each), each) for s in stored for each in [tuple(said[s.id][i] for i in ids)]]
    return sorted(found, key=lambda j: j.stored.idx)[:horizon]


@pytest.mark.parametrize("horizon", [None, 23])
@pytest.mark.parametrize("seed", range(2))
def test_runs_are_what_a_list_of_them_was(
    session: Session, monkeypatch: pytest.MonkeyPatch, seed: int, horizon: int | None
) -> None:
    monkeypatch.setattr(runs_module, "PAGE", 4)
    rng = random.Random(seed)
    session.options, session.room = Options(horizon=horizon), Room(rng.choice([0, 9000]))
    judged(session, at_home(session))  # asking is using: from here on draws count
    left = list(range(60))
    runs, at = None, at_home(session)
    while left:
        near = [left.pop(rng.randrange(min(5, len(left)))) for _ in range(min(rng.choice([1, 2, 7]), len(left)))]
        if rng.random() < 0.2:
            left += [left.pop(0)] if left else []  # one that comes much later
        put(session, near, [rng.choice(["yes", "no", "rude yes", f"yes {k}"]) for k in near], days=True)
        runs = judged(session, at, runs)
        want = plain(session, horizon)
        assert list(runs) == want
        assert list(judged(session, at)) == want  # one who comes later reads everything
        assert runs.words() == [j.outcome.outcome for j in want]
        assert [runs.words(k) for k in (0, 1)] == [[j.each[k].outcome for j in want] for k in (0, 1)]
        assert list(runs.seqs) == [j.stored.seq for j in want]
        assert [runs.said[0] == one for one in runs.said] == [
            (j.outcome, j.stored.sample.completion) == (want[0].outcome, want[0].stored.sample.completion) for j in want
        ]
        assert runs.models() == sorted({j.stored.sample.model for j in want if j.stored.sample.model})
        assert runs.days() == sorted({int(j.stored.settled // 86_400) for j in want})
        assert runs.several() == any(j.stored.choice for j in want)
        k = rng.randrange(len(want))
        assert (runs[k], runs[-1], list(runs[k:])) == (want[k], want[-1], want[k:])
        assert list(runs.first(k)) == want[:k]


def test_what_was_known_to_the_reporter_or_before_the_check_does_not_count(session: Session) -> None:
    seqs = put(session, [0, 1], ["no", "no"])
    at = at_home(session)
    assert not judged(session, at)
    assert list(exploratory(session, at).words()) == ["fail", "fail"]
    seqs = put(session, [2, 3], ["yes", "yes"])
    session.since = seqs[0]
    assert list(judged(session, at).seqs) == [seqs[1]]
    assert list(exploratory(session, at).words()) == ["fail", "fail"]


def test_a_check_that_broke_keeps_its_words_though_they_are_not_stored(session: Session) -> None:
    seqs = put(session, list(range(6)), ["yes"] * 6)
    at = at_home(session)
    ids = session.checker.ids(at.case, session.judging)
    good, broken = Outcome("pass", "ok"), Outcome("invalid", "took longer than 5 s", broken=True)
    stored = session.store.of_seqs(seqs)
    session.store.add_all_outcomes({one.id: [(ids[0], good)] for one in stored})
    runs = Runs(session.store, ids, Room(0))
    runs.add(Judged(one, overall((good, broken)), (good, broken)) for one in stored)
    assert all(j.each == (good, broken) and j.outcome.broken for j in runs)
    assert runs.words() == ["invalid"] * 6
    assert runs[5].each[1] is runs[0].each[1]


def test_a_page_more_than_there_is_room_for_takes_no_memory_to_speak_of(session: Session) -> None:
    """Resident memory is no measure for a few thousand runs, so what Python allocated for them is."""
    session.room = Room(100_000)
    judged(session, at_home(session))
    put(session, list(range(3000)), ["yes " * 50] * 3000)
    tracemalloc.start()
    try:
        runs = judged(session, at_home(session))
        held = tracemalloc.get_traced_memory()[0]
        assert sum(j.outcome.outcome == "pass" for j in runs) == len(runs) == 3000
    finally:
        tracemalloc.stop()
    assert held < 1_000_000  # a list of them all: 13 million


@pytest.mark.parametrize("block", [8, 1 << 16])
@given(told=st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from("abcde")), max_size=40))
def test_the_commonest_samples_are_those_of_a_plain_count(block: int, told: list[tuple[str, str]]) -> None:
    seen = [Seen(str(k), word, "", text) for k, (word, text) in enumerate(told)]  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conclude, "BLOCK", block)
        shown = three_samples([hash((s.outcome, s.text)) for s in seen], [s.outcome for s in seen], seen.__getitem__)
    groups = {key: [s.id for s in seen if (s.outcome, s.text) == key] for key in told}
    ranked = sorted(groups, key=lambda key: (-len(groups[key]), int(groups[key][0])))
    passes, fails, invalids = ([key for key in ranked if key[0] == word] for word in WORDS)
    chosen = fails[: 3 - bool(passes)]
    chosen += passes[: 3 - len(chosen)]
    chosen += invalids[: 3 - len(chosen)]
    assert [(s.id, s.same) for s in shown] == [(groups[key][0], len(groups[key])) for key in chosen]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["pass", "pass", "pass", "fail", "invalid"]), max_size=300),
    st.sampled_from([0.01, 0.05, 0.3]),
    st.sampled_from([0.02, 0.1, None]),
    st.sampled_from([None, 400]),
)
def test_the_first_crossing_is_where_the_boundaries_say(
    words: list[str], met: float, not_met: float | None, horizon: int | None
) -> None:
    race = Race(met, not_met, 0.05, horizon)
    bad = np.cumsum([word != "pass" for word in words])
    failed = np.cumsum([word == "fail" for word in words])
    at_most = met_boundary(met, 0.05, horizon, 512)
    at_least = None if not_met is None else not_met_boundary(not_met, 0.05, horizon, 512)
    want = None
    for n in range(1, len(words) + 1):
        if bad[n - 1] <= at_most[n]:
            want = "met", n
        elif at_least is not None and failed[n - 1] >= at_least[n]:
            want = "not_met", n
        if want:
            break
    assert first_crossing(race, words) == first_crossing(race, Outcomes(words)) == want


@given(st.lists(st.sampled_from(WORDS)), st.integers(-3, 9), st.integers(-3, 9))
def test_outcomes_are_a_sequence_of_their_words(words: list[str], start: int, end: int) -> None:
    seen = Outcomes(words)
    assert seen == words
    assert list(seen) == words
    assert (len(seen), list(seen[start:end]), list(seen + words)) == (len(words), words[start:end], words * 2)
    assert [seen.count(word) for word in WORDS] == [words.count(word) for word in WORDS]
    assert seen != [*words, "pass"]


def test_a_word_that_is_no_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="pass, fail or invalid, got 'maybe'"):
        Outcomes(["pass", "maybe"])
