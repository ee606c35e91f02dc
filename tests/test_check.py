"""What counts as right: every kind of check on completions good, bad and malicious."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reroll.case import Case
from reroll.check import KINDS, UNSURE, Check, Outcome, Surroundings, judge_sample, overall
from reroll.match import span_of
from reroll.sample import Completion, Sample
from reroll.strict_yaml import parse_yaml, write_yaml

RESPONSE = {
    "type": "object",
    "properties": {"date": {"type": "string", "format": "date"}, "minutes": {"type": "integer"}},
    "required": ["date"],
    "additionalProperties": False,
}
AROUND = Surroundings(response=RESPONSE, input={"who": "Ana", "n": 3}, expected="B")


def judge(kind: str, value: Any, text: str, **rest: Any) -> Outcome:
    return judge_sample(Check.of(kind, value), Sample(Completion(text, **rest)), AROUND)


def marked(outcome: Outcome, text: str) -> list[str]:
    return [text[a:b] for a, b in outcome.marks]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("equals", "yes", " yes\n"),
        ("equals", "{expected}", "B"),
        ("equals", "{n} for {who}", "3 for Ana"),
        ("equals", "{nobody}", "{nobody}"),
        ("equals", "{{who}} is {who}", "{who} is Ana"),
        ("contains", "noon", "at noon."),
        ("contains", ["a", "{who}"], "banana for Ana"),
        ("matches", r"\d{4}-\d{2}", "on 2026-11"),
        ("matches", r"^\({expected}\)", "(B) of course"),
        ("matches", r"\p{Greek}+", "αβγ"),
        ("matches", "(?i)ANA", "ana"),
        ("json", {}, "{}"),
        ("json", {"date": "2026-11-27"}, ' {"time": 1, "date": "2026-11-27"}\n'),
        ("json", {"a": {"b": 30}}, '{"a": {"b": 30.0, "c": 1}}'),
        ("json", {"who": ["{who}"], "n": "{n}"}, '{"who": ["Ana"], "n": 3}'),
        ("json", [1, {"a": None}], '[1, {"a": null}]'),
        ("json", {"a": 1}, '{"a": 2, "a": 1}'),
        ("schema", True, '{"date": "2026-11-27", "minutes": 30}'),
        ("schema", {"properties": {"x": {"pattern": "^a+$"}}}, '{"x": "aaa"}'),
        ("not", {"contains": "sorry"}, "here you are"),
        ("any", [{"equals": "x"}, {"equals": "y"}], "y"),
        ("all", [{"contains": "x"}, {"not": {"equals": "x"}}], "xy"),
    ],
)
def test_an_answer_that_holds_what_is_asked_passes(kind: str, value: Any, text: str) -> None:
    found = judge(kind, value, text)
    assert (found.outcome, found.marks) == ("pass", ())


@pytest.mark.parametrize(
    ("kind", "value", "text", "reason", "marks"),
    [
        ("equals", "yes", "no", "is 'no', expected 'yes'", ["no"]),
        ("contains", ["noon", "Bo"], "at noon", "does not contain 'Bo'", []),
        ("matches", r"\d{4}", "soon", r"nothing matches '\d{4}'", []),
        ("json", {"date": "2026-11-27"}, '{"date": "2026-11-20"}', 'date is "2026-11-20", expected "2026-11-27"',
         ['"2026-11-20"']),
        ("json", {"date": "x"}, '{"time": 1}', 'date is missing, expected "x"', []),
        ("json", {"a": 1}, '{"a": true}', "a is true, expected 1", ["true"]),
        ("json", {"a": 0}, '{"a": false}', "a is false, expected 0", ["false"]),
        ("json", {"a": "1"}, '{"a": 1}', 'a is 1, expected "1"', ["1"]),
        ("json", {"a": None}, '{"a": []}', "a is [], expected null", ["[]"]),
        ("json", {"a": {"b": [1, 2]}}, '{"a": {"b": [1, 3]}}', "a.b[1] is 3, expected 2", ["3"]),
        ("json", {"a": [1]}, '{"a": [1, 2]}', "a is [1, 2], expected [1]", ["[1, 2]"]),
        ("json", {"a": [{"b": 1}]}, '{"a": [{"b": 1, "c": 2}]}', "a[0].c should not be there", ["2"]),
        ("json", {"a": 1}, "[1]", 'the answer is [1], expected {"a": 1}', ["[1]"]),
        ("json", {}, 'Sure! Here… {"a": 1}', "not JSON: starts with 'Sure! Here… {\"a\": 1}'", ["Sure! Here… "]),
        ("json", {}, '{"a": 1} Enjoy!', "not JSON: goes on after the JSON with 'Enjoy!'", ["Enjoy!"]),
        ("json", {}, "", "not JSON: the answer is empty", []),
        ("json", {}, '{"a": 1,', "not JSON: ends in the middle", [","]),
        ("json", {}, '{"a": "x', "not JSON: ends in the middle", ["x"]),
        ("json", {}, '{"a": x}', "not JSON: breaks at character 7, before 'x}'", ["x}"]),
        ("json", {}, '{"a": NaN}', "not JSON: NaN is not a JSON value", []),
        ("json", {}, "9" * 5000, "not JSON: a number has too many digits", []),
        ("json", {}, "[" * 100_000, "not JSON that can be read: nested deeper than 200 levels", []),
        ("json", {}, "[" * 300 + "]" * 300, "not JSON that can be read: nested deeper than 200 levels", []),
        ("schema", True, '{"date": "2026-13-01"}', 'date is "2026-13-01", which is no date', ['"2026-13-01"']),
        ("schema", True, '{"minutes": 3}', "the answer lacks date", []),
        ("schema", True, '{"date": "2026-11-27", "minutes": "3"}', 'minutes is "3", expected integer', ['"3"']),
        ("schema", True, '{"date": "2026-11-27", "x": 3}', "the answer has x, which the schema does not know", []),
        ("schema", {"pattern": "^(a|aa)+$"}, f'"{"a" * 60}!"', None, []),
        ("schema", {"enum": [30, 60]}, "45", "the answer is 45, expected one of [30, 60]", []),
        ("not", {"contains": "sorry"}, "I am sorry", "should not hold, but does: contains 'sorry'", ["sorry"]),
        ("not", {"matches": "s.rry"}, "I am sorry", "should not hold, but does: 'sorry' matches 's.rry'", ["sorry"]),
        ("any", [{"equals": "x"}, {"contains": "y"}], "z", "none of these: is 'z', expected 'x'; does not contain 'y'",
         ["z"]),
        ("all", [{"contains": "z"}, {"equals": "x"}], "z", "is 'z', expected 'x'", ["z"]),
    ],
)  # fmt: skip
def test_an_answer_that_fails_says_why_and_where(
    kind: str, value: Any, text: str, reason: str | None, marks: list[str]
) -> None:
    found = judge(kind, value, text)
    assert found.outcome == "fail"
    assert reason is None or found.reason == reason
    assert marked(found, text) == marks


@pytest.mark.parametrize(
    ("calls", "outcome", "reason"),
    [
        (({"function": {"name": "book", "arguments": '{"day": 3, "who": "Ana"}'}},), "pass", "calls book"),
        (({"name": "book", "arguments": {"day": 3}},), "pass", "calls book"),
        (({"name": "look"}, {"name": "book", "arguments": {"day": 3}}), "pass", "calls book"),
        ((), "fail", "does not call book (calls nothing)"),
        (({"name": "look"},), "fail", "does not call book (calls look)"),
        (({"name": "book", "arguments": '{"day": 4}'},), "fail", "calls book, but arguments.day is 4, expected 3"),
        (
            ({"name": "book", "arguments": '{"day"'},),
            "fail",
            "arguments of book are not JSON: ends in the middle",
        ),
    ],
)
def test_a_tool_call_is_held_against_name_and_arguments(calls: Any, outcome: str, reason: str) -> None:
    found = judge("tool_call", {"name": "book", "arguments": {"day": 3}}, "", tool_calls=calls)
    assert (found.outcome, found.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("rest", "ending"),
    [
        ({"finish_reason": "length"}, "(the answer was cut off at max_tokens)"),
        ({"finish_reason": "content_filter"}, "(stopped by the content filter)"),
        ({"refusal": "I cannot help"}, "(the model refused: 'I cannot help')"),
    ],
)
def test_a_failure_says_how_the_answer_ended(rest: dict[str, str], ending: str) -> None:
    assert judge("contains", "x", "", **rest).reason.endswith(ending)


ENDINGS = {
    "refused": (Completion("", refusal="I cannot help"), "refused: 'I cannot help'"),
    "refused in words": (Completion("I must decline", "refusal"), "refused: 'I must decline'"),
    "filtered": (Completion("Well", "content_filter"), "stopped by the content filter"),
    "cut": (Completion('{"a": 1}', "length"), "cut off by max_tokens"),
    "cut by another name": (Completion("{}", "max_tokens"), "cut off by max_tokens"),
    "cut before a word": (Completion("", "length"), "cut off by max_tokens"),
    "empty": (Completion(" \n"), "empty answer"),
}
SATISFIED: list[dict[str, Any]] = [
    {"not": {"contains": "no"}},
    {"not": {"not": {"matches": ""}}},
    {"not": {"all": [{"contains": "no"}, {"reward": 1}]}},
    {"all": [{"not": {"equals": "no"}}]},
    {"any": [{"equals": "yes"}, {"not": {"json": {"never": 1}}}]},
]


def judge_form(form: dict[str, Any], completion: Completion, reward: float | None = None) -> Outcome:
    sample = Sample(completion, reward=reward)
    return judge_sample(Check.model_validate(form), sample, AROUND, lambda *_: Outcome("pass", "fine"))


@pytest.mark.parametrize("form", SATISFIED, ids=str)
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_answer_is_right_for_having_said_nothing(form: dict[str, Any], ending: str) -> None:
    completion, reason = ENDINGS[ending]
    found = judge_form(form, completion, reward=0.0)
    assert found.outcome == "fail"
    assert reason in found.reason
    assert judge_form(form, Completion("good day"), reward=0.0).outcome == "pass"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", [{"python": "a:b"}, {"person": True}, {"reward": 1}, {"all": [{"python": "a:b"}]}])
def test_what_sees_the_whole_sample_decides_for_itself(form: dict[str, Any], ending: str) -> None:
    assert judge_form(form, ENDINGS[ending][0], reward=1.0).outcome == "pass"


def test_a_cut_off_answer_passes_only_for_what_it_already_holds() -> None:
    calls = ({"name": "book", "arguments": {}},)
    cut = Completion('{"date": "2026-11-27"}', "length", calls)
    for form in ({"contains": "date"}, {"matches": "2026"}, {"tool_call": {"name": "book"}}):
        assert judge_form(form, cut).outcome == "pass"
        assert judge_form({"any": [{"not": {"contains": "x"}}, form]}, cut).outcome == "pass"
        assert judge_form({"all": [{"not": {"contains": "x"}}, form]}, cut).outcome == "fail"
        assert judge_form({"not": form}, cut).outcome == "fail"
    for form in ({"equals": cut.text}, {"json": {}}, {"schema": True}, {"not": {"contains": "x"}}):
        assert judge_form(form, cut).reason == "cut off by max_tokens"
        assert judge_form(form, Completion(cut.text, "stop", calls)).outcome == "pass"


def test_an_empty_answer_passes_where_it_is_asked_for_and_a_refusal_is_not_one() -> None:
    for form in ({"equals": ""}, {"equals": " {nothing} "}, {"any": [{"equals": "none"}, {"equals": ""}]}):
        check, around = Check.model_validate(form), Surroundings(input={"nothing": ""})
        assert judge_sample(check, Sample(Completion("\n")), around).outcome == "pass"
        for completion in (Completion("", refusal="No."), Completion("", "length"), Completion("", "content_filter")):
            assert judge_sample(check, Sample(completion), around).outcome == "fail"


def test_an_answer_in_tool_calls_alone_is_not_empty() -> None:
    calls = Completion("", "tool_calls", ({"name": "book", "arguments": {}},))
    assert judge_form({"not": {"tool_call": {"name": "pay"}}}, calls).outcome == "pass"
    assert judge_form({"tool_call": {"name": "book"}}, calls).outcome == "pass"


def test_an_error_in_place_of_an_answer_is_invalid_with_its_reason() -> None:
    found = judge_sample(Check.of("not", {"contains": "x"}, "n"), Sample(error="status 500"), AROUND)
    assert found == Outcome("invalid", "status 500", "n")


@pytest.mark.parametrize(("reward", "outcome"), [(1.0, "pass"), (0.5, "pass"), (0.4, "fail"), (None, "invalid")])
def test_a_recorded_reward_is_enough_from_its_limit_on(reward: float | None, outcome: str) -> None:
    sample = Sample(Completion("x") if reward is None else None, reward=reward)
    assert judge_sample(Check.of("reward", 0.5), sample, AROUND).outcome == outcome


def test_only_a_reward_check_judges_a_recorded_conversation() -> None:
    sample = Sample(reward=1.0)
    for value in (
        {"contains": "x"},
        {"python": "a:b"},
        {"not": {"json": {}}},
        {"all": [{"reward": 1}, {"equals": "x"}]},
    ):
        found = judge_sample(Check.model_validate(value), sample, AROUND)
        assert found.outcome == "invalid"
        assert "only a reward was recorded" in found.reason


def test_a_check_that_crashes_is_invalid_with_its_name() -> None:
    def crash(*_: Any) -> Outcome:
        return {}["id"]  # type: ignore[return-value]

    sample = Sample(Completion("x"))
    found = judge_sample(Check.of("python", "a:b", "mine"), sample, AROUND, crash)
    assert found == Outcome("invalid", "check mine crashed: KeyError('id')", "mine", broken=True)
    assert judge_sample(Check.of("not", {"python": "a:b"}), sample, AROUND, crash).outcome == "invalid"
    assert judge_sample(Check.of("python", "a:b"), sample, AROUND).reason == "`python` checks cannot run here"


def test_a_filled_pattern_takes_the_value_literally_and_whole() -> None:
    around = Surroundings(expected="a.c")
    for pattern, text, outcome in (("{expected}", "abc", "fail"), ("^{expected}+$", "a.ca.c", "pass")):
        assert judge_sample(Check.of("matches", pattern), Sample(Completion(text)), around).outcome == outcome


def test_a_shape_without_a_response_is_invalid() -> None:
    found = judge_sample(Check.of("schema", True), Sample(Completion("{}")), Surroundings())
    assert found.reason == "`schema: true` needs a `response` in program.yaml, and there is none"


@pytest.mark.parametrize("kind", ["all", "any"])
def test_a_broken_part_makes_an_undecided_whole_broken_wherever_it_stands(kind: str) -> None:
    parts = [{"reward": 1}, {"python": "a:b"}]
    sample = Sample(Completion("x"))
    for value in (parts, parts[::-1]):
        found = judge_sample(
            Check.of(kind, value), sample, AROUND, lambda *_: Outcome("invalid", "crashed", broken=True)
        )
        assert (found.outcome, found.reason, found.broken) == ("invalid", "crashed", True)
        assert not judge_sample(Check.of(kind, value), sample, AROUND, lambda *_: Outcome("invalid", UNSURE)).broken


def test_a_sample_that_is_an_error_breaks_no_check() -> None:
    assert not judge_sample(Check.of("python", "a:b"), Sample(error="http 500"), AROUND).broken


def test_several_outcomes_are_broken_where_mending_one_may_change_them() -> None:
    unsure, broken = Outcome("invalid", UNSURE, "a"), Outcome("invalid", "crashed", "b", broken=True)
    assert overall([unsure, broken]) is broken
    assert overall([broken, Outcome("fail", "f")]).outcome == "fail"


def test_any_fail_makes_a_fail_then_any_invalid_an_invalid() -> None:
    passed, failed, invalid = Outcome("pass", "p", "a"), Outcome("fail", "f", "b"), Outcome("invalid", "i", "c")
    assert overall([passed, invalid, failed, Outcome("fail", "later")]) is failed
    assert overall([passed, invalid]) is invalid
    assert overall([passed]) == Outcome("pass", "p")
    assert overall([]).outcome == "invalid"


@pytest.mark.parametrize(
    ("inner", "all_", "any_"),
    [("pass fail", "fail", "pass"), ("pass invalid", "invalid", "pass"), ("fail invalid", "fail", "invalid"),
     ("pass pass", "pass", "pass"), ("fail fail", "fail", "fail"), ("invalid invalid", "invalid", "invalid")],
)  # fmt: skip
def test_all_and_any_never_make_an_outcome_of_an_invalid_part(inner: str, all_: str, any_: str) -> None:
    form = {"pass": {"equals": "x"}, "fail": {"equals": "y"}, "invalid": {"reward": 1}}
    for kind, expected in (("all", all_), ("any", any_)):
        assert judge(kind, [form[w] for w in inner.split()], "x").outcome == expected


# -- how checks are written


@pytest.mark.parametrize(
    ("form", "place", "problem"),
    [
        ({"contain": "x"}, ("contain",), "`contain` is no kind of check; did you mean `contains`?"),
        ({"zzz": "x"}, ("zzz",), f"`zzz` is no kind of check; the kinds are {', '.join(KINDS)}"),
        ({}, (), f"a check needs one kind: {', '.join(KINDS)}"),
        ({"name": "n"}, (), f"a check needs one kind: {', '.join(KINDS)}"),
        ({"equals": "a", "json": {}}, (),
         "a check has one kind, this one has `equals`, `json`; write a check for each, or combine them in `all`"),
        ("x", (), 'a check is written as `kind: value`, for example {contains: "noon"}; got "x"'),
        ({"name": 3, "equals": "a"}, ("name",), "a check's name is text; got 3"),
        ({"equals": 1.5}, ("equals",), '`equals` takes text, got 1.5; quote it: "1.5"'),
        ({"equals": None}, ("equals",), "`equals` takes text, got null"),
        ({"contains": ""}, ("contains",), "`contains` is empty, and every answer contains nothing; say what"),
        ({"contains": ["a", 3]}, ("contains", 1), '`contains` takes text or a list of texts, got 3; quote it: "3"'),
        ({"matches": "a("}, ("matches",), "not a regular expression that RE2 takes: missing ): a("),
        ({"matches": "(?=a)"}, ("matches",), "not a regular expression that RE2 takes: invalid perl operator: (?=; RE2 "
         "has no look-around and no back-references, so that no answer can stall it"),
        ({"json": 3}, ("json",), '`json` takes keys and values, for example {date: "2026-11-27"}; got 3'),
        ({"schema": False}, ("schema",), "`schema` takes true (the program's `response`) or a JSON Schema; got false"),
        ({"schema": {"type": "strin"}}, ("schema", "type"),
         'not a JSON Schema: "strin" is no type; did you mean `string`?'),
        ({"schema": {"items": {"pattern": "("}}}, ("schema", "items", "pattern"),
         "not a regular expression that RE2 takes: missing ): ("),
        ({"schema": {"$ref": "https://example.org/s"}}, ("schema", "$ref"),
         'a schema must be whole in the file; "https://example.org/s" leads out of it'),
        ({"tool_call": "book"}, ("tool_call",), '`tool_call` takes {name: ..., arguments: {...}}; got "book"'),
        ({"tool_call": {"name": "a", "argument": {}}}, ("tool_call", "argument"),
         "unknown key `argument`; did you mean `arguments`?"),
        ({"python": "checks.f"}, ("python",),
         '`python` takes file:function, for example checks:is_polite; got "checks.f"'),
        ({"judge": "Is it polite?"}, ("judge",), '`judge` takes {model: ..., rubric: ...}; got "Is it polite?"'),
        ({"judge": {"model": "m"}}, ("judge",), "`judge` needs `rubric`, what a right answer is, in words"),
        ({"judge": {"rubric": "polite"}}, ("judge",), "`judge` needs `model`, the model that judges"),
        ({"judge": {"model": "m", "rubric": " "}}, ("judge", "rubric"),
         '`judge` needs `rubric`, what a right answer is, in words; got " "'),
        ({"judge": {"model": "m", "rubrik": "polite"}}, ("judge", "rubrik"),
         "`judge` has no key `rubrik`; did you mean `rubric`?"),
        ({"judge": {"model": "m", "rubric": "r", "structured": "no"}}, ("judge", "structured"),
         '`structured` of `judge` is true or false; got "no"'),
        ({"judge": {"model": "m", "rubric": "r", "params": {"n": 2}}}, ("judge", "params"),
         "`n` of a judge's calls is set by reroll; take it out of `params`"),
        ({"reward": 2}, ("reward",), "`reward` takes a number from 0 to 1; got 2"),
        ({"reward": True}, ("reward",), "`reward` takes a number from 0 to 1; got true"),
        ({"all": []}, ("all",), "`all` takes a list of checks; got []"),
        ({"all": [{"equals": "a"}, {"not": {"any": [{"equal": "b"}]}}]}, ("all", 1, "not", "any", 0, "equal"),
         "`equal` is no kind of check; did you mean `equals`?"),
    ],
)  # fmt: skip
def test_a_check_that_means_nothing_is_refused_in_plain_words(form: Any, place: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Case(id="a", checks=[form])
    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == (("checks", 0, *place), problem)


def test_a_check_may_not_ask_for_an_answer_that_the_case_lacks() -> None:
    with pytest.raises(ValidationError, match=r"check `not-1` asks for .expected., and the case has no `expected`"):
        Case(id="a", checks=[{"not": {"equals": "it is {expected}"}}])
    assert Case(id="a", checks=[{"equals": "{{expected}}"}, {"matches": r"\d{4}"}])


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(
        leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts(), v, max_size=3), max_leaves=8
    )


def checks() -> st.SearchStrategy[dict[str, Any]]:
    one = st.one_of(
        st.builds(lambda v: {"equals": v}, texts()),
        st.builds(lambda v: {"contains": v}, st.lists(texts(), min_size=1, max_size=3)),
        st.builds(
            lambda v: {"matches": v}, st.sampled_from([r"\d{4}", "^a|b$", "x{2}", "{expected}", r"\{.*\}", "(?s)."])
        ),
        st.builds(lambda v: {"json": v}, st.dictionaries(texts(), values(), max_size=3)),
        st.just({"schema": True}),
        st.builds(lambda v: {"schema": {"const": v}}, values()),
        st.builds(lambda n, v: {"tool_call": {"name": n, "arguments": {"a": v}}}, texts(), values()),
        st.builds(lambda v: {"reward": v}, st.floats(0, 1)),
        st.just({"python": "checks:polite"}),
        st.just({"judge": {"model": "bundled", "rubric": "Is it polite?"}}),
    )
    nested = st.recursive(
        one,
        lambda c: (
            st.builds(lambda k, v: {k: v}, st.sampled_from(["all", "any"]), st.lists(c, min_size=1, max_size=3))
            | st.builds(lambda v: {"not": v}, c)
        ),
        max_leaves=5,
    )
    named = st.builds(lambda c, n: {"name": n, **c}, nested, texts().filter(str.strip))
    return nested | named


SCHEMA = jsonschema.Draft202012Validator(Check.model_json_schema())


@given(checks())
@settings(deadline=None)
def test_a_check_is_read_back_from_yaml_as_it_was(form: dict[str, Any]) -> None:
    check = Check.model_validate(form)
    again = Check.model_validate(parse_yaml(write_yaml(check.model_dump()), "memory"))
    assert again == check
    assert again.model_dump() == form
    assert again.id == check.id
    SCHEMA.validate(json.loads(check.model_dump_json()))


@given(checks(), texts() | values().map(json.dumps) | st.text())
@settings(deadline=None, max_examples=300)
def test_no_check_ever_raises_whatever_the_answer(form: dict[str, Any], text: str) -> None:
    sample = Sample(Completion(text, tool_calls=({"function": {"name": text, "arguments": text}}, {})))
    found = judge_sample(Check.model_validate(form), sample, AROUND, lambda *_: Outcome("pass", ""))
    assert found.outcome in ("pass", "fail", "invalid")
    assert "crashed" not in found.reason
    found.reason.encode()
    assert all(0 <= a <= b <= len(text) for a, b in found.marks)


@pytest.mark.parametrize("text", ["\ud800", '"\\ud800"', "\x00", "{" * 10_000, '{"a":' * 3000, "1e999", "-", "\u2028"])
@pytest.mark.parametrize("form", [{"json": {"a": 1}}, {"schema": True}, {"matches": "^a"}, {"equals": "x"}])
def test_nasty_answers_fail_rather_than_crash(form: dict[str, Any], text: str) -> None:
    found = judge_sample(Check.model_validate(form), Sample(Completion(text)), AROUND)
    assert found.outcome == "fail"
    found.reason.encode()


@given(values().filter(lambda v: isinstance(v, dict | list)), st.integers(0, 3), st.sampled_from([None, 2]))
@settings(deadline=None)
def test_a_span_is_where_the_value_is_written(value: Any, spaces: int, indent: int | None) -> None:
    text = " " * spaces + json.dumps(value, indent=indent, ensure_ascii=False) + "\n" * spaces

    def paths(value: Any, path: tuple[str | int, ...] = ()) -> Any:
        yield path, value
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, inner in items:
            yield from paths(inner, (*path, step))

    for path, inner in paths(value):
        span = span_of(text, path)
        assert span is not None
        assert json.loads(text[slice(*span)]) == inner


def test_an_id_covers_kind_and_value_and_not_the_name() -> None:
    one = Check.of("contains", "x", "a")
    assert one.id.startswith("k1:")
    assert one.id == Check.of("contains", "x", "b").id
    assert one.id != Check.of("equals", "x").id
    assert one.id != Check.of("contains", "y").id
    assert Check.of("not", {"name": "a", "equals": "x"}).id == Check.of("not", {"equals": "x"}).id


def test_a_field_that_is_described_better_is_judged_as_before() -> None:
    def identity(schema: dict[str, Any]) -> str:
        return Check.of("schema", True).identity(Surroundings(response=schema))

    date = {"type": "string", "format": "date"}
    bare = {"properties": {"date": date, "description": {"enum": [{"title": "a"}]}}}
    better = {**date, "description": "ISO", "examples": ["2026-11-27"]}
    told = {"title": "Meeting", "properties": {**bare["properties"], "date": better}}
    assert identity(told) == identity(bare)
    typed = {"properties": {**bare["properties"], "date": {"type": "string"}}}
    named = {"properties": {"date": date}}  # a field may be called `description`
    other = {"properties": {"date": date, "description": {"enum": [{"title": "b"}]}}}  # and a value hold a title
    assert len({identity(bare), identity(typed), identity(named), identity(other)}) == 4
    nested = {"anyOf": [{"items": {"description": "x", "type": "integer"}}]}
    assert identity(nested) == identity({"anyOf": [{"items": {"type": "integer"}}]})


def test_the_id_of_a_python_check_covers_its_source() -> None:
    check = Check.of("any", [{"python": "checks:f"}])
    assert check.identity(sources={"checks": "1"}) != check.identity(sources={"checks": "2"})
    assert check.identity(sources={"checks": "1"}) == check.identity(sources={"checks": "1", "other": "2"})


def test_a_published_schema_refuses_what_the_reader_refuses() -> None:
    for form in ({"contain": "x"}, {}, {"equals": "a", "json": {}}, {"equals": 1}, {"all": []}, {"not": {"x": 1}}):
        assert not SCHEMA.is_valid(form)


def test_checks_can_be_made_in_python_by_kind_and_value() -> None:
    assert Check(kind="json", value={"a": 1}) == Check.of("json", {"a": 1})
    assert Check(name="n", kind="not", value={"equals": "x"}).model_dump() == {"name": "n", "not": {"equals": "x"}}
