"""The store as its callers know it: what goes in comes out, once, in the order in which it became known."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from reroll import store_schema
from reroll.case import Case, Report
from reroll.check import Outcome
from reroll.errors import StoreError, UsageError
from reroll.intake.recorded import read_rows
from reroll.program import Program, Request
from reroll.sample import Attempt, Completion, Sample, Token, Usage
from reroll.store import NewSample, Spend, Store
from reroll.store_prefixes import Beginnings
from reroll.store_rows import ranges, unranges
from reroll.store_tokens import pack_tokens, unpack_tokens
from tests.postgres import Server, running

HALF = chr(0xD83D)  # half of an emoji, as servers that cut tokens send it
PLACE: dict[str, Any] = {"program_id": "p1:0", "case_id": "next-friday"}

SHAPES = {
    "text": Sample(Completion("Friday")),
    "empty text": Sample(Completion("")),
    "cut": Sample(Completion("Fri", "length"), usage=Usage(10, 3, 0.000123, cached_tokens=4)),
    "refusal": Sample(Completion("", refusal="No.")),
    "tool calls": Sample(
        Completion("", "tool_calls", ({"name": "book", "arguments": '{"b": 1, "a": "é"}'}, {"id": 2}))
    ),
    "error": Sample(error="HTTP 500: overloaded"),
    "reward": Sample(reward=0.25),
    "reward and text": Sample(Completion("x"), reward=1.0),
    "error and reward": Sample(error="timed out", reward=0.0),
    "attempts": Sample(
        Completion("x"),
        attempts=(
            Attempt(1764.25, 0.5, 429, "slow down"),
            Attempt(1770.5, 1.25, 200, None, 3.5, "req_1"),
            Attempt(1, 2),
        ),
    ),
    "seed, model, raw": Sample(Completion("x"), seed=7, model="m-1", fingerprint="fp", raw='{"id": "é"}\n'),
    "a seed of 64 bits": Sample(Completion("x"), seed=2**64 - 1),
    "half characters": Sample(Completion(f"a{HALF}b", refusal=f"{HALF}"), raw=f"r{HALF}"),
    "zero bytes": Sample(Completion("a\0b"), model="m\0"),
    "half characters in tool calls": Sample(Completion("", tool_calls=({"x": f"{HALF}\0"},))),
    "an odd error": Sample(error=f"bad\0 {HALF}"),
    "tokens": Sample(
        Completion(
            f"hi{HALF}",
            tokens=(
                Token("hi", -0.5, (("hi", -0.5), ("ho", -1.25)), 12),
                Token(HALF, -0.1234567890123, ((HALF, -0.1234567890123),)),
                Token("\0"),
                Token("", -math.inf, (), 2**40),
            ),
        )
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The same tests run against both databases."""
    if request.param == "sqlite":
        with Store.open(tmp_path / "store.sqlite") as store:
            yield store
        return
    with Store.open(request.getfixturevalue("emptied")) as store:
        yield store


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def database(server: Server) -> str:
    url = server.new_database()
    Store.open(url).close()
    return url


@pytest.fixture
def emptied(server: Server, database: str) -> str:
    """A store without rows: emptying one takes a tenth of the time of making one."""
    names = ", ".join(t.name for t in store_schema.metadata.sorted_tables)
    server.sql(f"TRUNCATE {names} RESTART IDENTITY", database.rpartition("/")[2])
    return database


def add(store: Store, idx: int, sample: Sample | None = None, **more: Any) -> str:
    place = {"request_id": "r1:0", "series": "rerun", **PLACE, **more}
    return store.add_sample(sample or Sample(Completion(f"completion {idx}")), idx=idx, **place)


# -- samples -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_sample_comes_back_as_it_was(store: Store, shape: str) -> None:
    id = add(store, 0, SHAPES[shape])
    assert store.sample(id).sample == SHAPES[shape]
    assert [s.sample for s in store.samples(payload=True)] == [SHAPES[shape]]


def test_a_batch_comes_back_in_order_with_every_part_at_its_own_sample(store: Store) -> None:
    new = [NewSample(sample, "r1:0", "rerun", i, **PLACE) for i, sample in enumerate(SHAPES.values())]
    ids = store.add_samples(new)
    found = store.samples(payload=True)
    assert [s.id for s in found] == ids
    assert [s.sample for s in found] == list(SHAPES.values())
    assert [s.seq for s in found] == sorted(s.seq for s in found)


def test_without_payload_only_tokens_and_raw_are_missing(store: Store) -> None:
    add(store, 0, Sample(Completion("x", tokens=(Token("x", -1.0),)), attempts=(Attempt(1, 2, 200),), raw="{}", seed=3))
    assert store.samples()[0].sample == Sample(Completion("x"), attempts=(Attempt(1, 2, 200),), seed=3)


def test_the_same_slot_twice_keeps_the_first_and_returns_its_id(store: Store) -> None:
    first = add(store, 0, Sample(Completion("first"), attempts=(Attempt(1, 2, 200),), raw="{}"))
    assert add(store, 0, Sample(Completion("second"), attempts=(Attempt(1, 2, 500),), raw="[]")) == first
    assert [s.sample.completion.text for s in store.samples() if s.sample.completion] == ["first"]
    assert store.spend().attempts == 1


def test_a_batch_may_mix_taken_and_free_slots(store: Store) -> None:
    first = add(store, 1)
    new = [NewSample(Sample(Completion("x"), raw=str(i)), "r1:0", "rerun", i, **PLACE) for i in (0, 1, 2, 2)]
    ids = store.add_samples(new)
    assert ids[1] == first
    assert ids[2] == ids[3]
    assert [(s.idx, s.sample.raw) for s in store.samples(payload=True)] == [(1, None), (0, "0"), (2, "2")]


def test_putting_samples_says_which_of_them_are_new(store: Store) -> None:
    def place(idx: int) -> NewSample:
        return NewSample(Sample(Completion("x")), "r1:0", "rerun", idx, **PLACE)

    [(one, is_new)] = store.put_samples([place(1)])
    assert is_new
    assert store.put_samples([place(1)]) == [(one, False)]
    assert [n for _, n in store.put_samples([place(0), place(1), place(2), place(2)])] == [True, False, True, False]
    assert store.put_samples([]) == []


def test_what_is_known_of_new_samples_is_what_reading_them_gives(store: Store) -> None:
    new = [NewSample(sample, "r1:0", "rerun", i, **PLACE) for i, sample in enumerate(SHAPES.values())]
    known = [*store.add_known(new[:1]), *store.add_known(new[1:3]), *store.add_known(new[3:])]
    assert [one for _, one in known] == store.samples()
    assert [id for id, _ in known] == [one.id for one in store.samples()]
    assert store.add_known([*new[:2], replace(new[0], idx=99, sample=SHAPES["text"])])[:2] == [
        (id, None) for id, _ in known[:2]
    ]
    assert (
        store.drawn_seqs("r1:0", "rerun", after=known[0][1].seq, until=known[3][1].seq)
        == [  # type: ignore[union-attr]
            one.seq for _, one in known[1:4] if one is not None
        ]
    )
    assert store.drawn_seqs("r1:0", "another", after=0, until=10**6) == []


def test_samples_are_chosen_by_every_key_and_by_collections(store: Store) -> None:
    a = add(store, 0)
    b = add(store, 0, series="certify", case_id="other", source="imported")
    c = add(store, 0, request_id="r1:1", program_id="p1:1", variant="describe-date")

    def ids(**where: Any) -> list[str]:
        return [s.id for s in store.samples(**where)]

    assert ids(request_id="r1:0") == [a, b]
    assert ids(request_id="r1:0", series="rerun") == [a]
    assert ids(case_id="other") == ids(source="imported") == [b]
    assert ids(program_id="p1:1") == ids(variant="describe-date") == [c]
    assert ids(request_id=["r1:1", "r1:0"], case_id=None) == ids() == [a, b, c]
    assert ids(request_id=[]) == []
    assert ids(after=store.sample(a).seq) == [b, c]
    assert ids(limit=2) == [a, b]
    assert ids(limit=2, newest=True) == [b, c]


def test_an_unknown_key_is_an_error_and_not_everything(store: Store) -> None:
    with pytest.raises(TypeError, match="cannot be chosen by `case`"):
        store.samples(case="next-friday")  # type: ignore[call-arg]


def test_a_stored_sample_knows_its_place_and_its_time(store: Store) -> None:
    one = store.sample(add(store, 3, variant="v", source="reported", settled=1764.125))
    assert (one.request_id, one.series, one.idx, one.program_id) == ("r1:0", "rerun", 3, "p1:0")
    assert (one.case_id, one.variant, one.source, one.settled) == ("next-friday", "v", "reported", 1764.125)


def test_a_sample_is_found_by_any_unique_beginning_of_its_id(store: Store) -> None:
    id = add(store, 0)
    assert id.startswith("s_")
    assert len(id) == 14
    for beginning in (id, id[:6], id[2:7], f" {id.upper()} "):
        assert store.sample(beginning).id == id


@pytest.mark.parametrize("given", ["", "s_", "nothing", "s_%", "s\\"])
def test_an_unknown_id_is_said_in_one_sentence(store: Store, given: str) -> None:
    add(store, 0)
    with pytest.raises(UsageError, match="no stored sample has the id"):
        store.sample(given)


def test_an_ambiguous_id_names_the_candidates(store: Store) -> None:
    ids = store.add_samples([NewSample(Sample(error="x"), "r1:0", "rerun", i, **PLACE) for i in range(40)])
    letter = next(c for c in (id[2] for id in ids) if sum(id[2] == c for id in ids) > 1)
    with pytest.raises(UsageError, match=f"several samples begin with `s_{letter}`: s_{letter}"):
        store.sample(f"s_{letter}")


# -- what begins alike -------------------------------------------------------------------------------------------------


def listed(*words: str, noise: float = 0.0) -> Sample:
    """A completion of these tokens with alternatives, as a server reports them: the same for what begins alike."""
    tokens, before = [], ""
    for word in words:
        rng = random.Random(before)
        top = tuple((f"{before[-3:]}{n}", -rng.random() - noise) for n in range(5))
        tokens.append(Token(word, -0.5, top, len(word)))
        before += word
    return Sample(Completion("".join(words), tokens=tuple(tokens)))


def bytes_of_tokens(store: Store) -> list[int]:
    with store._read() as connection:
        blobs = connection.execute(select(store_schema.payloads.c.tokens).order_by(store_schema.payloads.c.seq))
        return [len(blob) for (blob,) in blobs]


TREE = [
    listed(*"abcdefghijklmnop"),
    listed(*"abcdefghijklmnoX"),
    listed(*"abcdefghijklmnoXY"),
    listed(*"abcdefgh"),
    listed(*"zbcdefghijklmnop"),
    listed(*"abcdefghijklmnop", noise=0.125),
    listed(*"abcdefghijklmnop"),
]


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_what_samples_begin_alike_with_is_stored_once_and_comes_back_exactly(store: Store, at_once: int) -> None:
    new = [NewSample(sample, "r1:0", "rerun", i, **PLACE) for i, sample in enumerate(TREE)]
    for start in range(0, len(new), at_once):
        store.add_samples(new[start : start + at_once])
    assert [s.sample for s in store.samples(payload=True)] == TREE
    assert [store.samples(payload=True, after=s.seq - 1, limit=1)[0].sample for s in store.samples()] == TREE
    whole, *rest = bytes_of_tokens(store)
    assert [size < whole / 2 for size in rest] == [True, True, True, False, False, True]


def test_another_process_and_another_request_know_what_belongs_to_them(store: Store) -> None:
    add(store, 0, TREE[0])
    add(store, 0, TREE[0], request_id="r1:1")
    store._beginnings = Beginnings()  # as another process would begin
    add(store, 1, TREE[0])
    first, other, again = bytes_of_tokens(store)
    assert other == first
    assert again < first / 2
    assert [s.sample for s in store.samples(payload=True)] == [TREE[0]] * 3


def test_what_is_remembered_of_beginnings_has_an_end_however_many_requests_come(store: Store) -> None:
    store._beginnings = Beginnings(most=1)
    for n in range(20):
        add(store, 0, TREE[0], request_id=f"r1:{n}")
    assert len(store._beginnings.requests) == 1
    assert [s.sample for s in store.samples(payload=True)] == [TREE[0]] * 20


def test_a_batch_that_failed_is_not_begun_like(store: Store) -> None:
    bad = NewSample(TREE[0], "r1:0", "rerun", "no number", **PLACE)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.add_samples([NewSample(TREE[0], "r1:0", "rerun", 0, **PLACE), replace(bad, series=None)])  # type: ignore[arg-type]
    add(store, 1, TREE[0])
    assert store.samples(payload=True)[0].sample == TREE[0]


def test_long_texts_come_back_and_are_found_by_their_words(store: Store) -> None:
    text = f"Friday {HALF} " + "and so on, é, " * 40 + "the last words\0"
    one = add(store, 0, Sample(Completion(text)))
    add(store, 1, Sample(Completion("short")))
    assert store.sample(one).sample == Sample(Completion(text))
    assert [s.id for s in store.find_quotation("the last words")] == [one]
    assert store.find_quotation("no such words") == []


# -- series ------------------------------------------------------------------------------------------------------------


def test_indices_are_handed_out_once_per_request_and_series(store: Store) -> None:
    assert store.reserve("r1:0", "rerun", 3) == range(3)
    assert store.reserve("r1:0", "rerun", 2) == range(3, 5)
    assert store.reserve("r1:0", "certify", 2) == range(2)
    assert store.reserve("r1:1", "rerun", 0) == range(0)


def test_indices_that_imported_samples_took_are_not_handed_out(store: Store) -> None:
    add(store, 7, source="imported")
    assert store.reserve("r1:0", "rerun", 2) == range(8, 10)


def test_draws_that_never_came_back_are_counted_per_series(store: Store) -> None:
    assert (store.reserved("r1:0", "rerun"), store.unsettled("r1:0", "rerun")) == (0, 0)
    store.reserve("r1:0", "rerun", 5)
    store.reserve("r1:0", "certify", 2)
    add(store, 0)
    add(store, 3, Sample(error="http 500"))
    assert (store.reserved("r1:0", "rerun"), store.unsettled("r1:0", "rerun")) == (5, 3)
    assert (store.reserved("r1:0", "certify"), store.unsettled("r1:0", "certify")) == (2, 2)
    add(store, 9, source="imported")  # an index that nobody handed out
    assert store.unsettled("r1:0", "rerun") == 3


# -- what was asked ----------------------------------------------------------------------------------------------------


def test_a_program_comes_back_and_renaming_it_makes_no_second_one(store: Store) -> None:
    program = Program(program="meetings", system={"b": "B.", "a": "A."}, response={"properties": {"z": {}, "a": {}}})
    id = store.put_program(program)
    assert store.get_program(id).model_dump_json() == program.model_dump_json()
    assert store.put_program(program.model_copy(update={"program": "renamed", "target": 0.9})) == id
    assert [(p.program, p.target) for p in store.programs()] == [("renamed", 0.9)]


def test_a_case_comes_back_as_last_put(store: Store) -> None:
    first, second = Case(id="a", input={"x": "1"}, expected={"y": [1]}), Case(id="a", input={"x": "2"})
    for case in (first, second, Case(id="b"), first):
        store.put_case(case)
    assert store.get_case("a") == first
    assert {c.id: c for c in store.cases()} == {"a": first, "b": Case(id="b")}


def test_a_case_keeps_its_checks(store: Store) -> None:
    case = Case.model_validate({"id": "a", "checks": [{"name": "right", "json": {"date": "2026-11-27"}}]})
    store.put_case(case)
    assert store.get_case("a").checks == case.checks


def test_a_report_put_twice_is_one(store: Store) -> None:
    report = Report(words="It didn't work", case_id="a", by="ana")
    id = store.put_report(report, "p1:0")
    assert store.put_report(report, "p1:0") == id != store.put_report(report, "p1:1")
    assert [(r.id == id, r.program_id, r.report) for r in store.reports()] == [
        (True, "p1:0", report),
        (False, "p1:1", report),
    ]


def test_a_request_comes_back_exactly_with_the_model_it_was_made_to(store: Store) -> None:
    request = Request(
        "openai:m", "http://x/v1", {"messages": [], "b": 1, "a": {"z": None, "y": HALF}}, f'{{"é": {HALF}}}'
    )
    store.put_request("r1:9", request, "openai:m@x")
    stored = store.get_request("r1:9")
    assert (stored.identity, stored.request) == ("openai:m@x", request)
    assert list(stored.request.body) == ["messages", "b", "a"]


def test_a_request_keeps_its_id(store: Store) -> None:
    request = Request("bundled", None, {"messages": [{"role": "user", "content": "é"}], "b": 1, "a": 2.0})
    store.put_request(request.id("bundled@1"), request, "bundled@1")
    assert store.get_request(request.id("bundled@1")).request.id("bundled@1") == request.id("bundled@1")


@pytest.mark.parametrize("get", ["get_request", "get_program", "get_case"])
def test_what_was_never_put_is_said_in_one_sentence(store: Store, get: str) -> None:
    with pytest.raises(UsageError, match="`nope`"):
        getattr(store, get)("nope")


@pytest.mark.parametrize(
    "request_",
    [
        Request("m", None, {"headers": {"Authorization": "Bearer hunter2"}}),
        Request("m", None, {"messages": [{"x_api_key": "hunter2"}]}),
        Request("m", None, {}, raw='{"api-key": "hunter2"}'),
        Request("m", "https://x/?api_key=hunter2", {}),
        Request("m", "https://ana:hunter2@x/", {}),
    ],
)
def test_a_request_with_a_secret_is_refused_without_repeating_it(store: Store, request_: Request) -> None:
    with pytest.raises(ValueError, match="holds a secret") as caught:
        store.put_request("r1:9", request_, "m")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError):
        store.get_request("r1:9")


LIVE = "sk-live/very-secret-0123456789"
ESCAPED = LIVE.replace("/", "\\/")


@pytest.mark.parametrize(
    "put",
    [
        lambda s: s.put_case(Case(id="a", input={"request": f"My key is {LIVE}."})),
        lambda s: s.put_case(Case(id="a", history=[{"content": [{"text": ESCAPED}]}])),
        lambda s: s.put_case(Case(id=f"a {LIVE}")),
        lambda s: s.put_report(Report(words=f"it said {LIVE}", case_id="a")),
        lambda s: s.put_report(Report(saw=LIVE, case_id="a")),
        lambda s: s.put_program(Program(program="x", system=f"Use {LIVE}.")),
        lambda s: s.put_program(Program(program=LIVE, system="Hi.")),
        lambda s: s.put_program(Program(program="x", raw=json.dumps({"messages": [ESCAPED]}))),
        lambda s: s.put_request("r1:9", Request("m", None, {"messages": [{"content": LIVE}]}), "m"),
        lambda s: s.put_request("r1:9", Request("m", None, {"tools": [{LIVE: 1}]}), "m"),
        lambda s: s.put_request("r1:9", Request("m", None, {}, raw=f'{{"a": "{ESCAPED}"}}'), "m"),
        lambda s: s.put_request("r1:9", Request("m", f"https://x/{LIVE}", {}), "m"),
        lambda s: s.put_request("r1:9", Request(f"openai:{LIVE}", None, {}), f"openai:{LIVE}"),
    ],
)
@pytest.mark.parametrize("variable", ["REROLL_API_KEY", "GROQ_API_KEY"])
def test_the_key_in_use_is_refused_wherever_it_stands_and_not_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch, put: Callable[[Store], object], variable: str
) -> None:
    monkeypatch.setenv(variable, LIVE)
    with pytest.raises(UsageError, match=f"environment variable {variable} has") as caught:
        put(store)
    assert caught.value.slug == "secret-in-request"
    assert "very-secret" not in str(caught.value)
    assert (store.cases(), store.reports(), store.programs()) == ([], [], [])
    with pytest.raises(UsageError):
        store.get_request("r1:9")


def test_a_stand_in_for_a_key_and_keys_of_others_may_be_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("REROLL_API_KEY", LIVE)
    case = Case(id="a", input={"request": "Is none of these sk-abcdefgh12345678?"})
    store.put_case(case)
    assert store.get_case("a") == case


def test_requests_are_put_together_or_not_at_all(store: Store) -> None:
    good, bad = Request("m", None, {"messages": []}), Request("m", None, {"api_key": "hunter2"})
    with pytest.raises(ValueError, match="holds a secret"):
        store.put_requests([("r1:1", good, "m"), ("r1:2", bad, "m")])
    store.put_requests([("r1:3", good, "m"), ("r1:3", good, "m"), ("r1:4", good, "m")])
    assert store.get_request("r1:4").request == good
    with pytest.raises(UsageError):
        store.get_request("r1:1")


def test_a_program_with_a_secret_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r"replicas\.a\.headers\.authorization"):
        store.put_program(Program(program="x", replicas={"a": {"headers": {"authorization": "Bearer hunter2"}}}))


def test_a_tool_with_a_parameter_called_api_key_is_no_secret(store: Store) -> None:
    parameters = {"properties": {"api_key": {"type": "string"}}, "required": ["api_key"]}
    store.put_request("r1:9", Request("m", None, {"tools": [{"function": {"parameters": parameters}}]}), "m")
    assert store.get_request("r1:9")


# -- quotations --------------------------------------------------------------------------------------------------------


def test_a_quotation_finds_completions_and_requests_by_exact_words(store: Store) -> None:
    body = {"messages": [{"role": "user", "content": 'Lunch with "Ana"\nnext Friday'}]}
    store.put_request("r1:0", Request("m", None, body), "m")
    a = add(store, 0, Sample(Completion("Booked for 100 % sure_ly, é")))
    b = add(store, 0, Sample(Completion("", tool_calls=({"arguments": '{"who": "Bo"}'},))), request_id="r1:1")
    c = add(store, 1, Sample(Completion(f"odd {HALF}")), request_id="r1:1", program_id="p1:1")
    d = add(store, 2, Sample(Completion("", tool_calls=({"x": f"{HALF} für"},))), request_id="r1:1")

    def found(words: str, **more: Any) -> list[str]:
        return [s.id for s in store.find_quotation(words, **more)]

    assert found('with "Ana"\nnext') == [a]
    assert found("100 % sure_ly, é") == [a]
    assert found("booked") == found("messages") == found("100 _") == found("?") == []
    assert found('{"who": "Bo"}') == [b]
    assert found(f"d {HALF}") == found("odd") == [c]
    assert found("o", program_id="p1:1") == [c]
    assert found("für") == found(f"{HALF} f") == [d]
    assert len(found("o", limit=1)) == 1


def test_a_quotation_may_be_very_long(store: Store) -> None:
    id = add(store, 0, Sample(Completion("so long " * 10_000)))
    assert [s.id for s in store.find_quotation("so long " * 9_000)] == [id]


def test_a_quotation_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="some words"):
        store.find_quotation(" ")


# -- outcomes ----------------------------------------------------------------------------------------------------------


def test_outcomes_come_back_by_sample_and_check(store: Store) -> None:
    a, b = add(store, 0), add(store, 1)
    wrong = Outcome("fail", f"says 2026-11-20 {chr(233)}", "right-date", ((3, 7), (9, 10)))
    store.add_outcomes(a, [("k1:0", wrong), ("k1:1", Outcome("pass", "fine", "shape"))])
    store.add_outcomes(b, [])
    assert store.outcomes([a, b]) == {a: {"k1:0": wrong, "k1:1": Outcome("pass", "fine", "shape")}}
    assert store.outcomes([a], ["k1:0"]) == {a: {"k1:0": wrong}}


def test_an_outcome_is_never_overwritten_and_a_changed_check_adds_its_own(store: Store) -> None:
    a = add(store, 0)
    store.add_outcomes(a, [("k1:0", Outcome("fail", "first"))])
    store.add_outcomes(a, [("k1:0", Outcome("pass", "second")), ("k1:changed", Outcome("pass", "third"))])
    assert {k: o.reason for k, o in store.outcomes([a])[a].items()} == {"k1:0": "first", "k1:changed": "third"}


def test_an_outcome_of_an_unknown_sample_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no stored sample has the id `s_nope`"):
        store.add_outcomes("s_nope", [("k1:0", Outcome("pass", "x"))])


def test_outcomes_of_many_samples_are_stored_together_or_not_at_all(store: Store) -> None:
    a, b = add(store, 0), add(store, 1)
    said = [("k1:0", Outcome("pass", "x"))]
    with pytest.raises(UsageError, match="no stored sample has the id `s_nope`"):
        store.add_all_outcomes({a: said, "s_nope": said, b: said})
    assert store.outcomes([a, b]) == {}
    store.add_all_outcomes({a: said, b: said})
    assert store.outcomes([a, b]).keys() == {a, b}


def test_a_set_of_checks_is_as_old_as_its_first_use_whatever_its_order(store: Store) -> None:
    first = store.first_used(["k1:0"])
    sample = store.sample(add(store, 0))
    second = store.first_used(["k1:0", "k1:1"])
    assert first <= sample.settled <= second
    assert store.first_used(["k1:0"]) == first
    assert store.first_used(["k1:1", "k1:0", "k1:1"]) == second
    assert store.first_used([]) == 0.0


def test_leaving_out_a_check_makes_the_samples_before_it_older_than_the_set(store: Store) -> None:
    store.first_used(["k1:0", "k1:1"])
    sample = store.sample(add(store, 0))
    assert store.first_used(["k1:0"]) > sample.settled
    assert store.first_used(["k1:1"]) > sample.settled


def test_a_set_of_checks_in_one_scope_says_nothing_about_another(store: Store) -> None:
    first = store.first_used(["k1:0"], scope="r1:0")
    sample = store.sample(add(store, 0))
    assert store.first_used(["k1:0"], scope="r1:1") > sample.settled
    assert store.first_used(["k1:0"], scope="r1:0") == first


def test_unjudged_samples_are_those_that_lack_any_of_the_checks(store: Store) -> None:
    a, b, c = (add(store, i) for i in range(3))
    store.add_outcomes(a, [("k1:0", Outcome("pass", "")), ("k1:1", Outcome("pass", ""))])
    store.add_outcomes(b, [("k1:0", Outcome("pass", ""))])
    assert [s.id for s in store.unjudged(["k1:0", "k1:1"])] == [b, c]
    assert store.count_unjudged(["k1:0", "k1:1"]) == 2
    assert [s.id for s in store.unjudged(["k1:0"], limit=1)] == [c]
    assert store.unjudged([]) == store.unjudged(["k1:0"], case_id="other") == []


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_a_decision_comes_back_with_the_samples_that_it_looked_at_in_seq_order(store: Store) -> None:
    ids = [add(store, i) for i in range(6)]
    id = store.add_decision(
        rule="certify/1",
        question="Is next-friday 99 % reliable?",
        verdict="undecided",
        evidence={"failures": 1, "n": 4, "log_e": 0.5},
        sample_ids=[ids[4], ids[0], ids[1], ids[1]],
        checks_ids=["k1:0"],
        alpha=0.05,
        target=0.99,
        horizon=400,
        stop_reason="budget",
        case_id="next-friday",
    )
    [made] = store.decisions(case_id="next-friday")
    assert (made.id, made.rule, made.verdict, made.alpha, made.target) == (id, "certify/1", "undecided", 0.05, 0.99)
    assert (made.horizon, made.stop_reason, made.checks_ids) == (400, "budget", ("k1:0",))
    assert made.evidence == {"failures": 1, "n": 4, "log_e": 0.5}
    assert [s.id for s in store.decided_on(made)] == [ids[0], ids[1], ids[4]]
    assert store.decisions(rule="luck/1") == []


def test_a_decision_may_name_its_samples_by_seq_and_holds_no_more_of_them_than_their_runs(store: Store) -> None:
    seqs = [store.sample(add(store, i)).seq for i in range(6)]
    store.add_decision(rule="x/1", question="", verdict="met", evidence={}, seqs=array("I", [*seqs[3:], seqs[0]]))
    [made] = store.decisions()
    assert made.samples == (seqs[0], *seqs[3:])
    assert (len(made.samples), made.samples[1], made.samples[1:3]) == (4, seqs[3], tuple(seqs[3:5]))
    assert (seqs[4] in made.samples, seqs[1] in made.samples) == (True, False)
    assert [s.seq for s in store.decided_on(made)] == list(made.samples)


@pytest.mark.parametrize("by_index", [False, True])
def test_pages_of_a_series_hold_every_draw_once_up_to_the_bound(store: Store, by_index: bool) -> None:
    order = [3, 0, 5, 1, 4, 2, 7, 6]
    seqs = {idx: store.sample(add(store, idx)).seq for idx in order}
    add(store, 20, source="outage")
    add(store, 21, series="other")
    until = store.newest()
    add(store, 8)
    request_id, series = (getattr(store.sample(add(store, 9)), name) for name in ("request_id", "series"))
    after = seqs[0]
    found: list[int] = []
    for page in store.drawn(request_id, series, after=after, until=until, by_index=by_index, size=2):
        add(store, 30 + len(found))  # stored meanwhile
        found += [one.idx for one in page]
    assert sorted(found) == [idx for idx in sorted(order) if seqs[idx] > after]
    assert [one.idx for one in store.of_seqs([seqs[5], seqs[3], 10**9])] == [3, 5]


def test_what_came_since_is_read_without_a_look_at_the_whole_series(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        for by_index, wanted in ((False, "USING INTEGER PRIMARY KEY"), (True, "USING INDEX sqlite_autoindex_samples")):
            asked: list[Any] = []

            @event.listens_for(store._engine, "before_cursor_execute")
            def listen(_c: Any, _cursor: Any, sql: str, args: Any, *_: Any, asked: list[Any] = asked) -> None:
                asked.append((sql, args))

            list(store.drawn("r", "open", after=5, until=9, by_index=by_index))
            with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as plain:
                sql, args = asked[-1]
                plan = " ".join(str(row[-1]) for row in plain.execute(f"EXPLAIN QUERY PLAN {sql}", args))
            assert wanted in plan, plan
            assert "TEMP B-TREE" not in plan


def test_a_decision_about_an_unknown_sample_is_refused_and_not_stored(store: Store) -> None:
    with pytest.raises(UsageError, match="s_nope"):
        store.add_decision(rule="x/1", question="", verdict="met", evidence={}, sample_ids=[add(store, 0), "s_nope"])
    assert store.decisions() == []


# -- totals and export -------------------------------------------------------------------------------------------------


def test_spend_adds_up_drawn_samples_and_does_not_know_what_one_of_them_does_not_say(store: Store) -> None:
    assert store.spend() == Spend(0, 0, 0, 0, 0, 0.0, cached_tokens=0, samples=0)
    tries = (Attempt(1, 0.5, 429), Attempt(9, 1.0, 200, waited=7.5))
    add(store, 0, Sample(Completion("x"), attempts=tries, usage=Usage(10, 5, 0.25, 8)))
    add(store, 1, Sample(Completion("x"), attempts=tries, usage=Usage(20, 5, 0.5, 0)), case_id="other")
    add(store, 2, Sample(Completion("x")), source="imported")
    assert store.spend() == Spend(2, 4, 30, 10, 0.75, 3.0, cached_tokens=8, samples=2)
    assert store.spend(case_id="other") == Spend(1, 2, 20, 5, 0.5, 1.5, cached_tokens=0, samples=1)
    add(store, 3, Sample(error="timed out", usage=Usage(10)))
    assert store.spend() == Spend(3, 4, 40, None, None, 3.0, cached_tokens=None, samples=3)


def test_export_gives_recorded_completions(store: Store) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 1}
    store.put_request("r1:0", Request("openai:m", None, body), "m")
    store.put_case(Case(id="next-friday", expected={"date": "2026-11-27"}))
    add(store, 5, Sample(Completion("x", tokens=(Token("x", -0.5, (("x", -0.5),)),)), model="m-2026"))
    add(store, 6, Sample(error="timed out", usage=Usage(9, cached_tokens=4)), variant="fixed")
    add(store, 7, Sample(reward=0.5), case_id="talk", request_id="r1:unknown")
    asked = {"messages": body["messages"], "params": {"temperature": 1}, "model": "openai:m"}
    first = {"case_id": "next-friday", "variant": "baseline", "run": 0, "completion": "x", **asked}
    expected = {"expected": {"date": "2026-11-27"}}
    top = [{"token": "x", "logprob": -0.5}]
    logprobs = {"logprobs": {"content": [{"token": "x", "logprob": -0.5, "top_logprobs": top}]}}
    second = {"case_id": "next-friday", "variant": "fixed", "run": 0, "completion": None, "error": "timed out", **asked}
    second["usage"] = {"prompt_tokens": 9, "cached_tokens": 4}
    third = {"case_id": "talk", "variant": "baseline", "run": 0, "completion": None, "reward": 0.5}
    unknown = {"messages": [], "params": {}, "model": None}
    assert list(store.export()) == [first | expected | logprobs, second | expected, third | unknown]
    assert next(store.export(payload=False)) == first | expected


def test_what_export_writes_is_read_again_as_recorded_completions(store: Store, tmp_path: Path) -> None:
    store.add_samples([NewSample(sample, "r1:0", "rerun", i, **PLACE) for i, sample in enumerate(SHAPES.values())])
    lines = list(store.export())
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = list(read_rows(tmp_path / "out.jsonl"))
    assert [row.completion for row in rows] == [sample.completion for sample in SHAPES.values()]
    assert [(row.error, row.reward) for row in rows] == [(sample.error, sample.reward) for sample in SHAPES.values()]
    assert [row.run for row in rows] == list(range(len(SHAPES)))


def test_export_numbers_the_runs_of_a_case_over_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reroll.store.CHUNK", 2)
    for idx in range(5):
        add(store, idx)
    assert [line["run"] for line in store.export()] == [0, 1, 2, 3, 4]
    assert len(list(store.export(after=store.samples()[2].seq))) == 2


# -- what models can do ------------------------------------------------------------------------------------------------


def test_probes_come_back_in_order_and_nothing_overwrites_one(store: Store) -> None:
    first = store.put_probe("m", ["m-1 fp_a", "m-1 fp_b"], 1, {"logprobs": 5, "notes": ["So\0."]})
    second = store.put_probe("m", [""], 1, {"logprobs": 0})
    store.put_probe("another", ["x"], 1, {})
    found = store.probes("m")
    assert [(p.version, p.probe, p.probed) for p in found] == [
        ("m-1 fp_a", 1, first),
        ("m-1 fp_b", 1, first),
        ("", 1, second),
    ]
    assert found[0].capabilities == {"logprobs": 5, "notes": ["So\0."]}


def test_the_version_that_answered_last_is_that_of_the_newest_draw_that_names_one(store: Store) -> None:
    assert store.last_answer("m") == ("", 0.0)
    for id, identity in (("r1:0", "m"), ("r1:1", "m"), ("r1:2", "another")):
        store.put_request(id, Request("openai:m", None, {}), identity)
    add(store, 0, Sample(Completion("x"), model="m-1"), settled=10.0)
    add(store, 1, Sample(Completion("x"), model="m-1", fingerprint="fp"), request_id="r1:1", settled=20.0)
    add(store, 2, Sample(error="timed out"), settled=30.0)
    add(store, 3, Sample(Completion("x"), model="m-9"), source="imported", settled=40.0)
    add(store, 4, Sample(Completion("x"), model="m-9"), request_id="r1:2", settled=50.0)
    assert store.last_answer("m") == ("m-1 fp", 20.0)


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_store_opens_by_path_and_by_url_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "new folder é" / "a%20b?c.sqlite"
    with Store.open(path) as store:
        assert store.path == path
        id = add(store, 0)
    with Store.open(str(path)) as store:
        assert store.sample(id)
    plain = tmp_path / "plain.sqlite"
    with Store.open(f"sqlite:///{plain}") as store:
        assert store.path == plain
        add(store, 0)
    assert plain.exists()


def test_a_store_in_memory_works_without_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open(":memory:") as store, Store.open("sqlite://") as other:
        add(store, 0)
        assert store.path is None
        assert (len(store.samples()), len(other.samples())) == (1, 0)
    assert list(tmp_path.iterdir()) == []


# -- what the documentation says ---------------------------------------------------------------------------------------

DOC = (Path(__file__).parent.parent / "docs" / "store.md").read_text(encoding="utf-8")


def test_the_queries_in_the_documentation_run(store: Store) -> None:
    if store.path is None:
        pytest.skip("the queries are for the sqlite3 shell")
    store.add_outcomes(add(store, 0), [("k1:0", Outcome("fail", "x", "right-date"))])
    [block] = re.findall(r"```sql\n(.*?)```", DOC, re.DOTALL)
    with contextlib.closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as connection:
        answers = [connection.execute(query).fetchall() for query in block.split(";") if query.strip()]
    assert answers[1] == [("next-friday", "right-date", 1, 0, 1)]


def test_the_documentation_names_every_table_and_every_way_to_fail() -> None:
    sources = [p.read_text() for p in Path(store_schema.__file__).parent.glob("store_*.py")]
    raised = {slug for text in sources for slug in re.findall(r'"(store-[a-z-]+)"', text)}
    listed = set(re.findall(r"^\| `([a-z_-]+)` \|", DOC, re.MULTILINE))
    assert listed == raised | set(store_schema.metadata.tables)


# -- values ------------------------------------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False)


@st.composite
def some_token(draw: st.DrawFn) -> Token:
    top = tuple(draw(st.lists(st.tuples(st.text(st.characters(), max_size=3), NUMBERS), max_size=4)))
    ids = tuple(draw(st.integers(0, 2**63 - 1)) for _ in top) if draw(st.booleans()) else ()
    id = draw(st.none() | st.integers(0, 2**63 - 1))
    return Token(draw(st.text(st.characters())), draw(st.none() | NUMBERS), top, id, ids)


TOKENS = some_token()


@given(st.lists(TOKENS, max_size=8).map(tuple))
def test_any_tokens_survive_packing(tokens: tuple[Token, ...]) -> None:
    assert unpack_tokens(pack_tokens(tokens)) == tokens


def test_a_later_token_format_is_named_and_not_guessed() -> None:
    with pytest.raises(ValueError, match="not known"):
        unpack_tokens(b"\x03...")


@given(st.sets(st.integers(0, 50)))
def test_ranges_hold_exactly_the_numbers(numbers: set[int]) -> None:
    assert list(unranges(ranges(numbers))) == sorted(numbers)
