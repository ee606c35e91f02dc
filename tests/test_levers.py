"""A fix changes its target and nothing else, once, and says so; whatever kind it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import reroll
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.lever_claims import claims, conflicts, order_matters
from reroll.lever_kinds import KINDS, kind_problem
from reroll.lever_undo import undo_of, without
from reroll.levers import LEVERS, apply, changes, diff, fitting, touched
from reroll.program import Example, Program
from reroll.project import load_project
from reroll.strict_yaml import parse_yaml, write_yaml

MEETINGS = load_project(Path(reroll.__file__).parent / "bundled" / "meetings").program
RICH = Program(
    program="rich",
    model="openai:big",
    base_url="http://localhost:1",
    params={"temperature": 1, "max_tokens": 20},
    system={"role": "You sort mail.", "tone": "Be kind.", "never": "Never guess.", "form": "Answer in JSON."},
    documents={
        "policy": "No refunds. Ask Ana first. Be quick!",
        "hours": "- Open at 9\n- Closed at 17\n\nOn Sundays too",
    },
    examples=tuple(
        Example(name=name, user=f"Mail {name}", assistant=json.dumps({"label": label, "why": "w"}))
        for name, label in (("a", "spam"), ("b", "spam"), ("c", "ham"), ("d", "spam"))
    ),
    tools=({"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": {}}},),
    response={
        "type": "object",
        "properties": {"label": {"type": "string", "description": "The kind."}, "why": {}, "score": {"type": "number"}},
        "required": ["label", "why"],
        "additionalProperties": False,
    },
    structured="both",
    steps=({"step": "retry", "checks": [{"contains": "label"}]},),
    neutral={"system.tone": "Be polite.", "response.label.description": "A label."},
    alternatives={"params.temperature": [0]},
)
ONE_TEXT = RICH.model_copy(update={"system": "Be kind. Answer in JSON.  Never guess.", "neutral": {}})
PROGRAMS = {"meetings": MEETINGS, "rich": RICH, "one text": ONE_TEXT}

WORDS = st.sampled_from(["Say so.", "When unsure, ask.", "Two words. And two more.", "Grüße, “quoted”\nsecond line"])
NEW = st.sampled_from(["note", "extra", "more"])
CHECKS = [{"contains": "label"}, {"json": {"label": "spam"}}]
WHEN = st.sampled_from([{"input": "(?i)refund"}, {"not_input": "a", "completion": "b"}, {"checks": CHECKS}])
BEFORE_ANSWER = st.sampled_from([{"input": "(?i)refund"}, {"not_input": "^$"}])


def places(names: list[str]) -> st.SearchStrategy[Any]:
    beside = [{side: name} for side in ("before", "after") for name in names]
    return st.sampled_from(["first", "last", *beside])


def orders(names: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=2, unique=True)


def optional(draw: Any, **given: st.SearchStrategy[Any]) -> dict[str, Any]:
    return {key: draw(value) for key, value in given.items() if draw(st.booleans())}


@st.composite
def fixes(draw: Any, program: Program, kind: str | None = None) -> Fix:
    """Any fix with a right target and right settings."""
    kind = kind or draw(st.sampled_from(sorted(KINDS)))
    clauses, fields = list(program.clauses()), list((program.response or {})["properties"])
    examples, documents = [e.name for e in program.examples], list(program.documents)
    needs = {"example": examples, "document": documents, "tool": list(program.tools)}.get(kind.partition(".")[0])
    assume(needs is None or needs or kind in ("example.add", "document.add"))
    clause, field = draw(st.sampled_from(clauses)), draw(st.sampled_from(fields))
    example, document = (draw(st.sampled_from(names or ["none"])) for names in (examples, documents))
    new, text = draw(NEW), draw(WORDS)
    others = [name for name in clauses if name != clause]
    made: dict[str, Any]
    match kind:
        case "clause.add":
            made = {"target": f"system.{new}", "text": text, **optional(draw, at=places(clauses))}
        case "clause.edit":
            made = {"target": f"system.{clause}", "text": text}
        case "clause.delete":
            made = {"target": f"system.{clause}"}
        case "clause.move":
            made = {"target": f"system.{clause}", "at": draw(places(others))}
        case "clause.deconflict":
            over = draw(st.lists(st.sampled_from(others), min_size=1, unique=True))
            made = {"target": f"system.{clause}", "over": over, **optional(draw, text=WORDS)}
        case "clause.repeat":
            made = {"target": f"system.{clause}", **optional(draw, times=st.integers(2, 4))}
        case "clause.emphasise":
            made = {"target": f"system.{clause}", "how": draw(st.sampled_from(["caps", "important", "last"]))}
        case "contrast.add":
            made = {"target": f"system.{new}", "right": "{}", "wrong": text, "reason": "It is JSON."}
            made |= optional(draw, user=WORDS, at=places(clauses))
        case "example.add":
            made = {"target": f"examples.{new}", "user": text, "assistant": '{"label": "ham"}'}
            made |= optional(draw, at=places(examples))
        case "example.remove":
            made = {"target": f"examples.{example}"}
        case "example.balance":
            made = optional(draw, by=st.sampled_from([None, "/label"]), target=st.just("examples"))
        case "example.reorder":
            made = {"target": "examples.order", "order": draw(orders(examples))}
        case "response.on":
            schema = {"type": "object", "properties": {"label": {"enum": ["spam", "ham"]}}}
            made = optional(draw, schema=st.just(schema), structured=st.sampled_from(["enforce", "describe", "both"]))
        case "response.reorder":
            made = {"order": draw(orders(fields))}
        case "reason.first":
            made = optional(draw, name=NEW, text=WORDS)
        case "document.add":
            made = {"target": f"documents.{new}", "text": text, **optional(draw, at=places(documents))}
        case "document.trim":
            numbers = st.lists(st.integers(1, 3), min_size=1, unique=True)
            phrases = st.sampled_from([["Ana"], ["refunds", "quick"]] if document == "policy" else [["9"], ["Sundays"]])
            made = {"target": f"documents.{document}", "keep": draw(numbers | phrases)}
        case "document.reorder":
            made = {"order": draw(orders(documents))}
        case "document.quote":
            passage = "Ask Ana first." if document == "policy" else "Open at 9"
            made = {"target": f"documents.{document}", "text": passage, **optional(draw, name=NEW)}
        case "field.describe":
            made = {"target": f"response.{field}.description", "text": text}
        case "field.rename":
            made = {"target": f"response.{field}.name", "text": new}
        case "type.narrow":
            schemas = st.sampled_from([{"type": "string", "maxLength": 3}, {"description": "d", "const": 1}])
            one = {"type": draw(st.sampled_from(["string", ["string", "null"]]))}
            made = {"target": f"response.{field}.type", **draw(st.sampled_from([one, {"schema": draw(schemas)}]))}
        case "type.enum":
            made = {"target": f"response.{field}.type", "values": ["a", 1, None]}
        case "type.format":
            made = {"target": f"response.{field}.type", "text": "date"}
        case "tool.describe":
            made = {"target": "tools.find.description", "text": text}
        case "params.set":
            name, value = draw(st.sampled_from([("temperature", 0), ("top_p", 0.5), ("max_tokens", None), ("x", [1])]))
            made = {"target": f"params.{name}", "value": value}
        case "model.pin":
            made = {"text": draw(st.sampled_from(["openai:big-2026-01-01", "gguf:small.gguf"]))}
        case "serving.pin":
            made = {"text": "http://localhost:2"}
        case "sample.best":
            made = {"n": draw(st.integers(2, 5)), "checks": CHECKS}
        case "sample.vote":
            made = {"n": 3, **optional(draw, by=st.sampled_from([None, "/label"]), when=BEFORE_ANSWER)}
        case "sample.verify":
            made = {"checks": CHECKS, **optional(draw, times=st.integers(1, 3))}
        case "patch.special_case":
            answer = st.sampled_from([{"text": "No."}, {"set": {"label": "ham"}}])
            made = {"when": draw(BEFORE_ANSWER), **draw(answer)}
        case "guard.block":
            made = {"on": "completion", "when": draw(WHEN), "says": "No."}
        case "guard.rewrite":
            made = {"on": "input", "when": draw(BEFORE_ANSWER), "replace": [["a+", "b"]]}
        case "patch.postprocess":
            made = {"strip_fences": True, "drop": ["why"], **optional(draw, when=WHEN, rename=st.just({"a": "b"}))}
        case "patch.retry":
            made = {"checks": CHECKS, **optional(draw, when=BEFORE_ANSWER, times=st.integers(1, 3))}
        case "patch.python":
            made = {"on": "completion", "function": "patches:tidy"}
        case _:
            made = {}
    return Fix(fix=kind, kind=kind, **made)


def applied(fix: Fix, program: Program) -> Program:
    """The program with the fix in it; what the program cannot take is no example."""
    try:
        return apply(fix, program)
    except UsageError as error:
        assume(error.slug != "fix")
        raise


EACH = pytest.mark.parametrize("name", PROGRAMS)
MANY = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


# -- laws --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_changes_the_rich_program(kind: str) -> None:
    seen = []

    @settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    @given(fixes(RICH, kind))
    def look(fix: Fix) -> None:
        seen.append(changes(fix, RICH))

    look()
    assert any(seen)
    assert set(KINDS) == set(LEVERS)


@EACH
@MANY
@given(data=st.data())
def test_applying_is_pure_and_a_second_time_changes_nothing(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    before = program.model_dump_json()
    fix = data.draw(fixes(program))
    once = applied(fix, program)
    assert program.model_dump_json() == before
    assert apply(fix, once).model_dump_json() == once.model_dump_json()
    assert not changes(fix, once)


@EACH
@MANY
@given(data=st.data())
def test_only_what_a_fix_claims_is_touched(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    fix = data.draw(fixes(program))
    after = applied(fix, program)
    writes = claims(fix).writes
    for part in touched(program, after):
        root, _, rest = part.partition(".")
        order = rest == "order" and any(w.startswith((f"{root}.", f"{root}^")) for w in writes)
        whole = part == "system" and any(w.startswith("system") for w in writes)  # one text became clauses
        steps = root == "steps" and "steps^last" in writes
        assert order or whole or steps or any(part == w or part.startswith(f"{w}.") for w in writes), part
    assert bool(diff(program, after)) == changes(fix, program)


@EACH
@MANY
@given(data=st.data())
def test_fixes_that_do_not_meet_can_be_applied_in_either_order(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    one, two = data.draw(fixes(program)), data.draw(fixes(program))
    assume(not claims(one).against(claims(two)) and one.id != two.id)
    assert not conflicts([one, two])
    first, second = applied(one, program), applied(two, program)
    assert apply(two, first).id == apply(one, second).id
    assert apply(two, first) == apply(one, second)


@EACH
@MANY
@given(data=st.data())
def test_fixes_whose_results_differ_by_order_are_declared(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    one, two = data.draw(fixes(program)), data.draw(fixes(program))
    assume(one.id != two.id)
    try:
        differ = apply(two, apply(one, program)).id != apply(one, apply(two, program)).id
    except UsageError:
        assume(bool(applied(one, program) and applied(two, program)))
        differ = True
    if differ:
        assert conflicts([one, two]) or order_matters([one, two])


@EACH
@MANY
@given(data=st.data())
def test_a_fix_is_the_same_after_json_and_yaml(name: str, data: st.DataObject) -> None:
    fix = data.draw(fixes(PROGRAMS[name]))
    assert kind_problem(fix) is None
    for again in (
        Fix.model_validate_json(fix.model_dump_json()),
        Fix.model_validate(parse_yaml(write_yaml(json.loads(fix.model_dump_json())), "fix.yaml")),
    ):
        assert again == fix
        assert again.id == fix.id


@EACH
@MANY
@given(data=st.data())
def test_what_was_applied_can_be_taken_out_again(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    fix = data.draw(fixes(program))
    after = applied(fix, program)
    undo = json.loads(json.dumps(undo_of(program, after)))
    assert without(undo, after) == program
    back = without(undo, after)
    assert back
    assert back.id == program.id


@EACH
@MANY
@given(data=st.data())
def test_one_fix_can_be_taken_out_below_another(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    one, two = data.draw(fixes(program)), data.draw(fixes(program))
    assume(not claims(one).against(claims(two)) and one.id != two.id)
    first = applied(one, program)
    both = applied(two, first)
    left = without(undo_of(program, first), both)
    if left is not None:  # and where it is, nothing else went with it, though a clause may come back at another place
        assert all(part.endswith(".order") for part in touched(left, apply(two, program)))


# -- single kinds ------------------------------------------------------------------------------------------------------


def fix(kind: str, target: str | None = None, **given: Any) -> Fix:
    return Fix(fix="it", kind=kind, target=target, **given)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (fix("clause.edit", "system.tone", text="Be brief."), "- system.tone: Be kind.\n+ system.tone: Be brief."),
        (fix("clause.delete", "system.tone"), "- system.tone: Be kind."),
        (
            fix("clause.move", "system.form", at="first"),
            "- system.order: role, tone, never, form\n+ system.order: form, role, tone, never",
        ),
        (
            fix("clause.emphasise", "system.tone", how="important"),
            "- system.tone: Be kind.\n+ system.tone: IMPORTANT: Be kind.",
        ),
        (
            fix("contrast.add", "system.mail", right='{"a": 1}', wrong="a is 1", reason="It is parsed.", user="a?"),
            '+ system.mail: Request: a?\n+   Right: {"a": 1}\n+   Wrong: a is 1\n+   Reason: It is parsed.',
        ),
        (fix("document.trim", "documents.policy", keep=[1, 3]),
         "- documents.policy: No refunds. Ask Ana first. Be quick!\n+ documents.policy: No refunds. Be quick!"),
        (fix("type.enum", "response.label.type", values=["ham"]),
         '- response.label.type: {"type": "string"}\n+ response.label.type: {"type": "string", "enum": ["ham"]}'),
        (fix("params.set", "params.top_p", value=0.5), "+ params.top_p: 0.5"),
        (fix("params.set", "params.max_tokens", value=None), "- params.max_tokens: 20"),
        (fix("model.pin", text="big-2"), "- model: openai:big\n+ model: openai:big-2"),
        (fix("response.off"), "- structured: both\n+ structured: off"),
        (fix("sample.vote", n=3, by="/label"), '+ steps.2: {"by":"/label","n":3,"step":"vote"}'),
        (fix("patch.special_case", when={"input": "hi"}, set={"label": "ham"}),
         '+ steps.2: {"set":{"label":"ham"},"step":"answer","when":{"input":"hi"}}'),
    ],
)  # fmt: skip
def test_the_difference_is_printed_part_by_part(one: Fix, said: str) -> None:
    assert diff(RICH, apply(one, RICH)) == said


def test_a_reason_before_a_closed_answer_is_dropped_from_what_comes_back() -> None:
    after = apply(fix("reason.first"), RICH)
    assert list(after.response["properties"]) == ["reason", "label", "why", "score"]  # type: ignore[index]
    assert after.response["required"] == ["reason", "label", "why"]  # type: ignore[index]
    assert after.steps[-1] == {"step": "rewrite", "on": "completion", "drop": ["reason"]}
    assert not apply(fix("reason.first"), MEETINGS).steps


def test_a_renamed_field_comes_back_under_its_old_name() -> None:
    after = apply(fix("field.rename", "response.label.name", text="kind"), RICH)
    assert after.response["required"] == ["kind", "why"]  # type: ignore[index]
    assert after.steps[-1] == {"step": "rewrite", "on": "completion", "rename": {"kind": "label"}}
    assert "response.label.description" not in after.neutral


def test_balanced_examples_take_turns() -> None:
    after = apply(fix("example.balance", by="/label"), RICH)
    assert [e.name for e in after.examples] == ["a", "c"]


def test_an_order_of_some_leaves_the_others_where_they_are() -> None:
    after = apply(fix("example.reorder", order=["d", "b"]), RICH)
    assert [e.name for e in after.examples] == ["a", "d", "c", "b"]


def test_a_form_that_is_off_is_still_known_to_checks() -> None:
    after = apply(fix("response.off"), MEETINGS)
    assert after.response == MEETINGS.response
    assert "Fields:" not in after.system_text()
    assert "response_format" not in after.render({"request": "x"}).body
    assert apply(fix("response.on", structured="describe"), after) == MEETINGS


def test_sentences_of_one_text_become_clauses_where_one_changes() -> None:
    after = apply(fix("clause.edit", "system.2", text="Answer in YAML."), ONE_TEXT)
    assert after.system == {"1": "Be kind.", "2": "Answer in YAML.", "3": "Never guess."}


# -- stored requests and products --------------------------------------------------------------------------------------

BODY = {"model": "big", "temperature": 1, "messages": [{"role": "user", "content": "Hi"}]}
STORED = Program(program="s", model="openai:big", raw=json.dumps(BODY))
PRODUCT = Program(program="p", model="python:app:run", params={"depth": 1})


def test_a_stored_request_takes_parameters_versions_and_steps() -> None:
    after = apply(fix("params.set", "params.top_p", value=0.5), STORED)
    assert json.loads(str(after.raw)) == BODY | {"top_p": 0.5}
    assert diff(STORED, after) == "+ params.top_p: 0.5"
    pinned = apply(fix("model.pin", text="big-2"), STORED)
    assert json.loads(str(pinned.raw))["model"] == "big-2"
    assert apply(fix("sample.vote", n=3), STORED).steps == ({"step": "vote", "n": 3},)
    for program in (after, pinned):
        assert without(undo_of(STORED, program), program) == STORED


@pytest.mark.parametrize(
    ("program", "one", "words"),
    [
        (STORED, fix("clause.add", "system.a", text="x"),
         "the program is a stored request, sent as it is, so `clause.add` cannot change it; what can be used are "
         "params.set, model.pin, serving.pin, sampling strategies and patches"),
        (PRODUCT, fix("field.describe", "response.a.description", text="x"),
         "the program is a product of its own (`python:app:run`), which gets the inputs as they are, so "
         "`field.describe` cannot change it; what can be used are params.set, model.pin, sampling strategies and "
         "patches"),
        (PRODUCT, fix("model.pin", text="openai:big"),
         "`openai:big` is no version of `python:app:run`: the one is a product, the other a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_there_is_refused(program: Program, one: Fix, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply(one, program)
    assert str(caught.value) == words
    assert caught.value.slug == "fix"


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (fix("clause.edit", "system.tne", text="x"), "no `system.tne`; did you mean `system.tone`?"),
        (fix("clause.edit", "system.zzzzzzzzzzz", text="x"),
         "no `system.zzzzzzzzzzz`; there are system.role, system.tone, system.never, system.form"),
        (fix("clause.move", "system.tone", at={"after": "frm"}), "no `system.frm`; did you mean `system.form`?"),
        (fix("clause.add", "system.tone", text="x"),
         "the program has a `system.tone` that says something else; take `clause.edit`, or another name"),
        (fix("clause.deconflict", "system.tone", over=["tone"]), "stands in `over` too"),
        (fix("field.describe", "response.lable.description", text="x"),
         "no `response.lable.description`; did you mean `response.label.description`?"),
        (fix("field.rename", "response.label.name", text="why"), "has a field `why` already"),
        (fix("document.trim", "documents.policy", keep=[9]), "has 3 sentences, and `keep` names the 9th"),
        (fix("document.trim", "documents.policy", keep=["Bob"]), "no sentence of `documents.policy` contains 'Bob'"),
        (fix("document.quote", "documents.policy", text="Ask Bob."), "does not say 'Ask Bob.' word for word"),
        (fix("tool.describe", "tools.fnd.description", text="x"), "did you mean `tools.find.description`?"),
        (fix("example.reorder", order=["a", "z"]), "no `examples.z`; did you mean"),
        (fix("example.balance", by="/kind"), "the answer of `examples.a` has no /kind"),
        (fix("params.set", "params.temperature", value="hot"), "needs a number"),
        (fix("clause.ad", "system.a", text="x"), "`clause.ad` is no kind of fix; did you mean `clause.add`?"),
        (fix("clause.add", "sytem.a", text="x"), "has targets of the form system.NAME; got `sytem.a`"),
        (fix("clause.add", text="x"), "`clause.add` needs a target of the form system.NAME"),
        (fix("clause.add", "system.a"), "`clause.add` needs `text`: what it says"),
        (fix("clause.add", "system.a", text="x", att="first"), "has no setting `att`; did you mean `at`?"),
        (fix("clause.delete", "system.tone", text="x"), "has no setting `text`; it takes none"),
        (fix("clause.move", "system.tone", at="frist"), "did you mean `first`?"),
        (fix("clause.emphasise", "system.tone", how="cap"), "none of caps, important, last; did you mean `caps`?"),
        (fix("type.narrow", "response.label.type", type="strng"), "did you mean `string`?"),
        (fix("type.narrow", "response.label.type", type="string", schema={}), "two ways to say it; give one"),
        (fix("type.narrow", "response.label.type"), "needs one of type, schema"),
        (fix("sample.best", n="3", checks=CHECKS), "`n`: needs a whole number; got \"3\""),
        (fix("sample.best", n=99, checks=CHECKS), "must be between 2 and 20, and this is 99"),
        (fix("sample.best", n=3, checks=[{"contian": "x"}]), "did you mean `contains`?"),
        (fix("sample.vote", "system.tone", n=3), "has no target"),
        (fix("guard.block", on="input", when={"completion": "x"}, says="No."), "acts before there is an answer"),
        (fix("guard.block", on="input", when={"inptu": "x"}, says="No."), "did you mean `input`?"),
        (fix("guard.block", on="input", when={"input": "(?=x)"}, says="No."), "RE2"),
        (fix("patch.retry", when={"input": "x"}), "say which answers are asked for again"),
        (fix("sample.best", n=3, checks=[{"judge": {"model": "m", "rubric": "r"}}]), "cannot hold its answers"),
        (fix("patch.special_case", when={"completion": "x"}, text="No."), "acts before there is an answer"),
        (fix("patch.python", on="input", function="os.system"), "needs file:function"),
        (fix("patch.postprocess", strip_fences=False), "can only be true"),
        (fix("response.off", "system.tone"), "the target of `response.off` is `response`; got `system.tone`"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_in_one_sentence(one: Fix, words: str) -> None:
    with pytest.raises(UsageError, match=r"^[^\n]+$") as caught:
        apply(one, RICH)
    assert words in str(caught.value)
    assert caught.value.slug == "fix"


@pytest.mark.parametrize(
    ("one", "slug", "words"),
    [
        (fix("clause.edit", "system.tone", text="Be kind."), "fix-nothing", "changes nothing"),
        (fix("clause.delete", "system.tne"), "fix", "no `system.tne`; did you mean `system.tone`?"),
        (fix("example.remove", "examples.e"), "fix", "no `examples.e`"),
        (fix("clause.deconflict", "system.tone", over=["role", "nevr"]), "fix", "did you mean `system.never`?"),
        (fix("response.on", structured="both"), "fix-nothing", "changes nothing"),
    ],
)
def test_a_fix_to_try_must_fit_and_change_something(one: Fix, slug: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        fitting(one, RICH)
    assert caught.value.slug == slug
    assert words in str(caught.value)


def test_a_fix_is_not_taken_out_where_its_part_says_something_else_by_now() -> None:
    one = fix("clause.edit", "system.tone", text="Be brief.")
    undo = undo_of(RICH, apply(one, RICH))
    assert without(undo, apply(fix("clause.edit", "system.tone", text="Be curt."), RICH)) is None
    assert without(undo, RICH) is None
