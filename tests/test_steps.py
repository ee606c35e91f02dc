"""Steps around the model: what each kind does, in which order they act, and what is said of one that is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.check import Check, Outcome, Surroundings, judge_sample
from reroll.errors import FileError
from reroll.program import Program, Request
from reroll.project import load_project
from reroll.sample import Completion, Sample, Token
from reroll.steps import Broken, Stepped, WrongStep, fires_on, input_text, most_calls, read_steps, run, with_input

Form = dict[str, Any]


class Plain:
    """Hooks without a project: checks that need no child, and functions of this test."""

    def __init__(self, **functions: Any) -> None:
        self.functions = functions
        self.seen: list[Mapping[str, Any]] = []

    def check(self, checks: Sequence[Check], sample: Sample) -> Sequence[Outcome]:
        return [judge_sample(check, sample, Surroundings()) for check in checks]

    def call(self, function: str, value: Mapping[str, Any]) -> Any:
        self.seen.append(value)
        return self.functions[function.partition(":")[2]](value["text"])


def asking(text: str = "Lunch on Friday", **more: Any) -> Request:
    return Request(
        "bundled", None, {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": text}], **more}
    )


def stepped(
    forms: Sequence[Form], *said: str | Sample, request: Request | None = None, hooks: Plain | None = None
) -> tuple[Stepped, list[Request]]:
    """What a draw comes to when the model says these in turn, and the requests that it got; it must want no more."""
    going = run(read_steps(forms), request or asking(), hooks or Plain())
    sent: list[Request] = []
    left = iter(said)
    try:
        sent.append(next(going))
        while True:
            one = next(left)
            sent.append(going.send(Sample(Completion(one)) if isinstance(one, str) else one))
    except StopIteration as done:
        if not isinstance(done.value, Stepped):
            raise AssertionError("it asked for one more") from None
        return done.value, sent


def says(came: Stepped) -> str:
    assert came.sample.completion is not None, came.sample.error
    return came.sample.completion.text


YES = [{"contains": "yes"}]


def retry(times: int = 1) -> Form:
    return {"step": "retry", "checks": YES, "times": times}


# -- one kind after the other ------------------------------------------------------------------------------------------


def test_without_steps_the_answer_comes_through_as_it_is() -> None:
    sample = Sample(Completion("yes", tokens=(Token("yes", -0.1),)))
    came, sent = stepped([], sample)
    assert came == Stepped(sample, 1)
    assert sent == [asking()]


def test_a_special_case_answers_without_a_call_and_only_where_it_matches() -> None:
    special = {"step": "answer", "when": {"input": r"(?i)\bfriday\b"}, "text": "The 27th."}
    came, sent = stepped([special])
    assert (says(came), came.draws, came.fired, came.stopped, sent) == ("The 27th.", 0, (0,), False, [])
    came, _ = stepped([special], "no", request=asking("Lunch on Monday"))
    assert (says(came), came.fired) == ("no", ())


def test_a_special_case_can_set_values_of_the_model_s_json_answer() -> None:
    special = {"step": "answer", "when": {"input": "Friday"}, "set": {"date": "2026-11-27", "/who/name": "Ana"}}
    came, _ = stepped([special], '{"who": {"name": "Bo"}, "date": "x", "n": 1}')
    assert says(came) == '{"who": {"name": "Ana"}, "date": "2026-11-27", "n": 1}'
    came, _ = stepped([special], "not JSON")
    assert (says(came), came.fired) == ("not JSON", ())


def test_a_guard_on_the_input_stops_before_the_call() -> None:
    came, sent = stepped([{"step": "block", "on": "input", "when": {"input": "Friday"}, "says": "No."}])
    assert (says(came), came.draws, came.stopped, came.replaced, sent) == ("No.", 0, True, None, [])
    assert came.sample.completion is not None
    assert came.sample.completion.finish_reason == "blocked"


def test_a_guard_on_the_answer_withholds_it_and_keeps_what_it_was() -> None:
    guard = {"step": "block", "when": {"completion": "secret"}, "says": "No."}
    came, _ = stepped([guard], "the secret")
    assert (says(came), came.draws, came.stopped, came.fired) == ("No.", 1, True, (0,))
    assert came.replaced == Sample(Completion("the secret"))
    came, _ = stepped([guard], "nothing")
    assert (says(came), came.stopped, came.replaced) == ("nothing", False, None)


@pytest.mark.parametrize(
    ("step", "said", "becomes"),
    [
        ({"replace": [[r"(\d+)/(\d+)", r"\2-\1"]]}, "on 27/11", "on 11-27"),
        ({"replace": [["é", "è"], ["e", "É\\\\n"]]}, "née", "nèÉ\\n"),
        ({"text": "always this"}, "anything", "always this"),
        ({"strip_fences": True}, '```json\n{"a": 1}\n```', '{"a": 1}'),
        ({"strip_fences": True}, "see ```x``` there", "see ```x``` there"),
        ({"drop": ["why"]}, '{"why": "x", "a": 1}', '{"a": 1}'),
        ({"drop": ["/items/0/b"]}, '{"items": [{"b": 1, "c": 2}]}', '{"items": [{"c": 2}]}'),
        ({"rename": {"day": "date"}}, '{"day": "x", "a": 1.50}', '{"date": "x", "a": 1.5}'),
        ({"rename": {"day": "date"}}, '{"date": "old", "day": "x"}', '{"date": "x"}'),
        ({"set": {"a": [1]}}, '{"b": "é"}', '{"b": "é", "a": [1]}'),
        ({"set": {"a": 1}}, '{"a":1}', '{"a":1}'),
        ({"set": {"a": 1}}, "[1]", "[1]"),
        ({"strip_fences": True, "rename": {"a": "b"}, "set": {"b": 2}}, '```\n{"a": 1}\n```', '{"b": 2}'),
    ],
)
def test_a_rewrite_changes_the_answer(step: Form, said: str, becomes: str) -> None:
    came, _ = stepped([{"step": "rewrite", **step}], said)
    assert says(came) == becomes
    assert came.fired == (() if said == becomes else (0,))


def test_tokens_stay_with_words_that_are_the_model_s_own_and_go_with_others() -> None:
    sample = Sample(Completion("ok", tokens=(Token("ok", -0.1),)))
    kept, _ = stepped([{"step": "rewrite", "replace": [["x", "y"]]}], sample)
    changed, _ = stepped([{"step": "rewrite", "replace": [["k", "h"]]}], sample)
    assert kept.sample.completion == sample.completion
    assert changed.sample.completion == Completion("oh")


def test_a_rewrite_of_the_input_changes_what_is_sent_and_nothing_else() -> None:
    came, (sent,) = stepped([{"step": "rewrite", "on": "input", "replace": [["Friday", "2026-11-27"]]}], "yes")
    assert sent == asking("Lunch on 2026-11-27")
    assert came.fired == (0,)


def test_a_retry_asks_again_while_the_answer_looks_wrong_and_delivers_the_last() -> None:
    came, sent = stepped([retry(3)], "no", "no", "yes")
    assert (says(came), came.draws, came.fired, len(sent)) == ("yes", 3, (0,), 3)
    came, _ = stepped([retry(2)], "no", "nope", "never")
    assert (says(came), came.draws) == ("never", 3)
    came, _ = stepped([retry(2)], "yes")
    assert (says(came), came.draws, came.fired) == ("yes", 1, ())


def test_a_retry_can_go_by_words_of_the_answer_and_of_the_input() -> None:
    step = {"step": "retry", "when": {"input": "Friday", "completion": "sorry", "not_completion": "but"}, "times": 1}
    assert says(stepped([step], "sorry", "yes")[0]) == "yes"
    assert says(stepped([step], "sorry, but here")[0]) == "sorry, but here"
    assert says(stepped([step], "sorry", request=asking("Monday"))[0]) == "sorry"


def test_the_best_is_the_first_that_passes_else_the_first() -> None:
    best = {"step": "best", "n": 3, "checks": YES}
    came, _ = stepped([best], "no", "yes 2")
    assert (says(came), came.draws, came.fired) == ("yes 2", 2, (0,))
    came, _ = stepped([best], "no 1", "no 2", "no 3")
    assert (says(came), came.draws) == ("no 1", 3)
    assert stepped([best], "yes")[0].fired == ()


@pytest.mark.parametrize(
    ("by", "said", "wins"),
    [
        ("/a", ['{"a": 1, "b": 1}', '{"a": 2, "b": 2}', '{"a": 2, "b": 3}'], 1),
        ("/a", ['{"a": 2}', '{"a": 1}', '{"a": 1.0}', '{"a": 2}'], 0),
        ("/a", ["oops", '{"b": 1}', '{"a": null}'], 2),
        ("/a", ["oops", "oh", "no"], 0),
        ("/a/1", ['{"a": [1, 2]}', '{"a": [1]}', '{"a": [3, 2]}'], 0),
        (None, ['{"a": 1, "b": 2}', "x", '{"b": 2, "a": 1}'], 0),
        (None, ["x", "x", '{"a": 1}'], 2),
        (None, ["no", "yes", " yes\n"], 1),
        ("", ["no", "yes", "yes"], 0),
    ],
)
def test_a_vote_takes_the_majority_and_ties_go_to_the_earliest(by: str | None, said: list[str], wins: int) -> None:
    came, _ = stepped([{"step": "vote", "n": len(said), **({} if by is None else {"by": by})}], *said)
    assert says(came) == said[wins]
    assert came.draws == len(said)


def test_a_function_of_the_project_gets_the_text_and_returns_the_new_one() -> None:
    hooks = Plain(shout=str.upper)
    came, (sent,) = stepped(
        [{"step": "python", "on": "input", "function": "p:shout"}, {"step": "python", "function": "p:shout"}],
        "yes",
        hooks=hooks,
    )
    assert input_text(sent) == "LUNCH ON FRIDAY"
    assert says(came) == "YES"
    assert [value["on"] for value in hooks.seen] == ["input", "completion"]
    assert hooks.seen[1]["input"] == "Lunch on Friday"


# -- together ----------------------------------------------------------------------------------------------------------


def test_steps_act_in_the_order_of_the_list() -> None:
    a, b = {"step": "rewrite", "replace": [["x", "y"]]}, {"step": "rewrite", "replace": [["y", "z"]]}
    assert says(stepped([a, b], "x")[0]) == "z"
    assert says(stepped([b, a], "x")[0]) == "y"


def test_a_retry_looks_at_the_answer_as_the_steps_before_it_left_it() -> None:
    mend = {"step": "rewrite", "replace": [["^y$", "yes"]]}
    assert stepped([mend, retry()], "y")[0].draws == 1
    came, _ = stepped([retry(), mend], "y", "y")
    assert (says(came), came.draws, came.fired) == ("yes", 2, (0, 1))


def test_a_retry_redraws_all_that_stands_before_it() -> None:
    vote = {"step": "vote", "n": 2}
    came, _ = stepped([vote, retry()], "a", "a", "b", "yes")
    assert (says(came), came.draws) == ("b", 4)
    assert most_calls(read_steps([vote, retry()])) == 4


def test_an_answer_that_a_guard_withheld_is_asked_for_again_and_never_chosen() -> None:
    guard = {"step": "block", "when": {"completion": "secret"}}
    assert says(stepped([guard, {"step": "retry", "when": {"completion": "zzz"}}], "secret", "fine")[0]) == "fine"
    assert says(stepped([guard, {"step": "best", "n": 2, "checks": [{"contains": "I"}]}], "secret", "I")[0]) == "I"
    assert says(stepped([guard, {"step": "vote", "n": 3}], "secret", "secret", "fine")[0]) == "fine"
    came, _ = stepped([guard, {"step": "rewrite", "replace": [["cannot", "can"]]}], "secret")
    assert (says(came), came.stopped) == ("I cannot help with that.", True)


def test_what_is_tried_again_and_still_wrong_can_be_stopped_by_a_guard_behind() -> None:
    guard = {"step": "block", "when": {"checks": YES}, "says": "Sorry."}
    came, _ = stepped([retry(1), guard], "no", "no")
    assert (says(came), came.stopped, came.fired) == ("Sorry.", True, (0, 1))


def test_an_answer_of_a_special_case_goes_out_at_once() -> None:
    steps = [{"step": "answer", "when": {"input": "Friday"}, "text": "no"}, retry(3)]
    assert stepped(steps)[0].draws == 0


def test_only_steps_that_acted_on_what_is_delivered_are_told() -> None:
    came, _ = stepped([{"step": "rewrite", "replace": [["no", "non"]]}, retry()], "no", "yes")
    assert came.fired == (1,)


def test_conditions_on_the_input_look_at_what_came_in_before_any_step() -> None:
    steps = [
        {"step": "rewrite", "on": "input", "text": "gone"},
        {"step": "rewrite", "when": {"input": "Friday"}, "text": "seen"},
    ]
    assert says(stepped(steps, "x")[0]) == "seen"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_an_error_of_the_model_ends_the_draw_with_it() -> None:
    for steps in ([retry(3)], [{"step": "vote", "n": 3}], [{"step": "best", "n": 3, "checks": YES}]):
        came, _ = stepped(steps, "no", Sample(error="http 500"))
        assert (came.sample, came.draws) == (Sample(error="http 500"), 2)


def test_a_recorded_reward_without_a_completion_is_nothing_to_act_on() -> None:
    came, _ = stepped([retry()], Sample(reward=1.0))
    assert "nothing to act on" in str(came.sample.error)


def test_a_patch_that_fails_is_an_error_of_that_sample() -> None:
    def breaks(text: str) -> str:
        raise Broken("patch p:f crashed: KeyError('id')")

    step = {"step": "python", "function": "p:f"}
    came, _ = stepped([step], "yes", hooks=Plain(f=breaks))
    assert came.sample.error == "step 1 (python): patch p:f crashed: KeyError('id')"
    came, _ = stepped([step], "yes", hooks=Plain(f=lambda text: 7))
    assert came.sample.error == "step 1: p:f returned 7; it must return the new text"


def test_a_check_that_cannot_run_is_an_error_of_that_sample() -> None:
    came, _ = stepped([{"step": "retry", "checks": [{"python": "checks:f"}]}], "yes")
    assert came.sample.error == "step 1 (retry): `python` checks cannot run here"


def test_replacements_cannot_grow_beyond_all_bounds() -> None:
    step = {"step": "rewrite", "replace": [["a", "a" * 1000]] * 3}
    came, _ = stepped([step], "aaaa")
    assert "more than 1,000,000 characters" in str(came.sample.error)


@given(st.text(), st.text(max_size=20))
def test_no_answer_makes_a_step_raise(said: str, template: str) -> None:
    steps = [
        {"step": "rewrite", "strip_fences": True, "replace": [[r"(\w)", template]], "rename": {"/a/b": "c"},
         "drop": ["/0/x", "k"], "set": {"/k/l": 1}},
        {"step": "vote", "n": 2, "by": "/a"},
    ]  # fmt: skip
    came, _ = stepped(steps, said, said)
    assert came.draws == 2


# -- requests of every shape -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (asking("Hi"), "Hi"),
        (Request("m", None, {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}), "Hi"),
        (Request("openai-responses:m", None, {"input": "Hi"}, '{"input": "Hi"}'), "Hi"),
        (Request("openai-completions:m", None, {"prompt": "Hi"}), "Hi"),
        (Request("python:m:f", None, {"input": {"b": 1, "a": "x"}}), '{"a":"x","b":1}'),
        (Request("http:u", None, {"body": {"q": "x"}, "text": "/t"}), '{"q":"x"}'),
    ],
)
def test_the_user_s_text_is_found_and_changed_in_every_kind_of_request(request_: Request, text: str) -> None:
    assert input_text(request_) == text
    new = '{"a":"y"}' if text.startswith("{") else "Ho"
    changed = with_input(request_, new)
    assert input_text(changed) == new
    assert changed.raw is None or json.loads(changed.raw) == changed.body
    assert input_text(request_) == text


def test_pictures_of_a_message_stay() -> None:
    parts = [{"type": "image_url"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    changed = with_input(Request("m", None, {"messages": [{"role": "user", "content": parts}]}), "c")
    assert changed.body["messages"][0]["content"] == [{"type": "image_url"}, {"type": "text", "text": "c"}]


def test_what_cannot_be_sent_any_more_is_an_error() -> None:
    step = {"step": "rewrite", "on": "input", "text": "no JSON"}
    came, sent = stepped([step], request=Request("python:m:f", None, {"input": {"a": 1}}))
    assert "the inputs of a product are JSON" in str(came.sample.error)
    assert sent == []
    came, _ = stepped([step], request=Request("m", None, {"messages": []}))
    assert "no user message" in str(came.sample.error)


@pytest.mark.parametrize(
    ("step", "fires"),
    [
        ({"step": "answer", "when": {"input": "Friday"}, "text": "x"}, True),
        ({"step": "answer", "when": {"input": "Monday"}, "text": "x"}, False),
        ({"step": "answer", "when": {"input": "Friday"}, "set": {"a": 1}}, None),
        ({"step": "block", "on": "input", "when": {"not_input": "Friday"}}, False),
        ({"step": "block", "when": {"completion": "x"}}, None),
        ({"step": "block", "when": {"input": "Friday", "completion": "x"}}, None),
        ({"step": "block", "when": {"input": "Monday", "completion": "x"}}, False),
        ({"step": "rewrite", "on": "input", "replace": [["Friday", "x"]]}, True),
        ({"step": "rewrite", "on": "input", "replace": [["Monday", "x"]]}, False),
        ({"step": "rewrite", "strip_fences": True}, None),
        (retry(), None),
        ({**retry(), "when": {"input": "Monday"}}, False),
        ({"step": "vote", "n": 3}, True),
        ({"step": "python", "function": "p:f", "when": {"input": "Monday"}}, False),
        ({"step": "python", "function": "p:f"}, None),
    ],
)
def test_steps_say_where_they_act(step: Form, fires: bool | None) -> None:
    (form,) = read_steps([step])
    assert fires_on(form, asking()) is fires


# -- files -------------------------------------------------------------------------------------------------------------

WRONG = [
    ("- step: retri", "\"retri\" is no kind of step; did you mean `retry`?"),
    ("- {stp: retry}", "`step` is missing; did you mean `step`?"),
    ("- retry", "needs keys with values"),
    ("- step: retry\n  check: []", "unknown key; did you mean `checks`?"),
    ("- step: retry\n  times: 2", "say which answers are asked for again"),
    ("- step: retry\n  times: 21\n  checks: [{contains: a}]", "must be at most 20, and this is 21"),
    ("- step: retry\n  times: two\n  checks: [{contains: a}]", "needs a whole number"),
    ("- step: retry\n  checks: [{contian: a}]", "`contian` is no kind of check; did you mean `contains`?"),
    ("- step: retry\n  checks: [{contains: \"{request}\"}]", "sees the answer and not the case's inputs"),
    ("- step: retry\n  checks: [{contains: \"{expected}\"}]", "a product does not know what is {expected}"),
    ("- step: retry\n  checks: [{person: nice?}]", "cannot hold its answers against a `person` check"),
    ("- step: retry\n  checks: [{schema: true}]", "`schema: true` means the program's `response`"),
    ("- step: block\n  when: {input: \"(\"}", "not a regular expression that RE2 takes"),
    ("- step: block\n  when: {}", "says nothing; give input"),
    ("- step: block\n  says: x", "`when` is missing"),
    ("- step: block\n  on: input\n  when: {completion: x}", "acts before there is an answer"),
    ("- step: block\n  on: output\n  when: {input: x}", "none of input, completion"),
    ("- step: answer\n  when: {input: x}", "give either `text`"),
    ("- step: rewrite", "says nothing to change"),
    ("- step: rewrite\n  text: a\n  drop: [b]", "give one of them"),
    ("- step: rewrite\n  on: input\n  drop: [b]", "changes answers"),
    ("- step: vote\n  n: 1", "must be at least 2"),
    ("- step: vote\n  n: 3\n  by: date", "does not have the form"),
    ("- step: python\n  function: nowhere", "write module:function"),
    ("- {step: vote, n: 20}\n- {step: vote, n: 20}", "may take 400 calls, and 64 are the most"),
]  # fmt: skip


@pytest.mark.parametrize(("yaml", "words"), WRONG)
def test_a_step_that_is_wrong_is_named_with_its_line(tmp_path: Path, yaml: str, words: str) -> None:
    lines = "\n".join("  " + line for line in yaml.split("\n"))
    (tmp_path / "program.yaml").write_text(f"program: p\nmodel: bundled\nsteps:\n{lines}\n")
    with pytest.raises(FileError) as caught:
        load_project(tmp_path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'program.yaml'}:{caught.value.line}: `steps.")
    assert (caught.value.line or 0) >= 4


def test_steps_and_several_completions_a_call_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_text("program: p\nparams: {n: 3}\nsteps:\n  - {step: vote, n: 3}\n")
    with pytest.raises(FileError, match="take `n` out of the params"):
        load_project(tmp_path)


def test_a_step_says_what_is_wrong_where_no_file_is_read() -> None:
    with pytest.raises(WrongStep, match=r"^step 1: unknown key `tims`; did you mean `times`"):
        read_steps([{"step": "retry", "checks": YES, "tims": 2}])


def test_a_program_without_steps_is_the_program_that_it_was() -> None:
    program = Program(program="p", system={"a": "b"}, user="{request}")
    assert program.id == Program(program="p", system={"a": "b"}, user="{request}", steps=()).id
    assert program.id == "p1:e7a09bcb9a46e1f8"  # as stores have it since the first version
    assert Program(program="p").render({"request": "Hi"}).id("bundled@x") == "r1:943c0d0de5548470"
    assert program.id != Program(program="p", system={"a": "b"}, user="{request}", steps=(retry(),)).id
