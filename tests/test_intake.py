"""Recorded traffic of every format becomes cases and samples, graded, and nothing of it is left out silently."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reroll.check import Check
from reroll.errors import FileError, RerollError, UsageError
from reroll.intake import unpacked
from reroll.intake.casing import key_of, place
from reroll.intake.formats import FORMATS, format_of, read_files
from reroll.intake.founding import Founding
from reroll.intake.recording import Recording
from reroll.intake.single import Served, single_call, single_stored
from reroll.intake.taken import Skipped, Taken, Value
from reroll.intake.traffic import take_in
from reroll.program import Request
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from tests.background import in_background, in_turn, reroll

if sys.version_info >= (3, 14):
    import zipfile

    from compression import zstd
else:
    from backports import zstd
    from backports.zstd import zipfile

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}]
REQUEST = {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0.7, "seed": 7}
ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "message": {"role": "assistant", "content": "4"},
            "finish_reason": "stop",
            "logprobs": {
                "content": [{"token": "4", "logprob": -0.1, "top_logprobs": [{"token": "4", "logprob": -0.1}]}]
            },
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def save(folder: Path, *values: Any, name: str = "data.bin") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
    return path


def read(path: Path, *more: Path) -> tuple[list[Taken], list[Skipped]]:
    found = list(read_files([path, *more]))
    return [f for f in found if isinstance(f, Taken)], [f for f in found if isinstance(f, Skipped)]


def only(path: Path, *more: Path) -> Taken:
    taken, skipped = read(path, *more)
    assert (len(taken), skipped) == (1, [])
    return taken[0]


def span(attributes: dict[str, Any], id: str = SPAN, **rest: Any) -> dict[str, Any]:
    def typed(value: Any) -> dict[str, Any]:
        if isinstance(value, list):
            return {"arrayValue": {"values": [typed(v) for v in value]}}
        kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
        return {kinds[type(value)]: str(value) if isinstance(value, int) else value}

    listed = [{"key": k, "value": typed(v)} for k, v in attributes.items()]
    times = {"startTimeUnixNano": "1795780800000000000", "endTimeUnixNano": "1795780801500000000"}
    return {"traceId": TRACE, "spanId": id, "name": "chat", **times, "attributes": listed, **rest}


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.7,
    "gen_ai.request.seed": 7,
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.input.messages": json.dumps(
        [{"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]} for m in MESSAGES]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "4"}], "finish_reason": "stop"}]
    ),
}
INFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.invocation_parameters": json.dumps({"temperature": 0.7, "seed": 7}),
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "2+2?",
    "output.value": json.dumps(ANSWER),
}
OBSERVATION = {
    "id": "obs-1",
    "traceId": "t-1",
    "type": "GENERATION",
    "startTime": "2026-11-27T12:00:00.000Z",
    "endTime": "2026-11-27T12:00:01.500Z",
    "model": "gpt-4o",
    "modelParameters": {"temperature": "0.7", "max_tokens": "Infinity", "top_p": 1, "frequency_penalty": 0},
    "input": MESSAGES,
    "output": {"role": "assistant", "content": "4"},
    "usageDetails": {"input": 9, "output": 1},
}
SAMPLE = {
    "id": "sum-1",
    "epoch": 1,
    "uuid": "u1",
    "input": "2+2?",
    "target": "4",
    "messages": [*MESSAGES, {"role": "assistant", "content": "4", "source": "generate"}],
    "output": {
        "model": "gpt-4o",
        "choices": [{"message": {"role": "assistant", "content": "4"}, "stop_reason": "stop"}],
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
    "scores": {"match": {"value": "C", "answer": "4"}},
}
HEADER = {
    "version": 2,
    "status": "success",
    "eval": {
        "model": "openai/gpt-4o",
        "created": "2026-11-27T12:00:00+00:00",
        "model_generate_config": {"temperature": 0.7},
    },
    "plan": {},
}
PROMPTFOO = {
    "evalId": "e",
    "results": {
        "version": 3,
        "timestamp": "2026-11-27T12:00:00.000Z",
        "results": [
            {
                "prompt": {"raw": json.dumps(MESSAGES), "label": "p"},
                "provider": {"id": "openai:chat:gpt-4o", "label": ""},
                "vars": {},
                "response": {"output": "4", "logProbs": [-0.1], "tokenUsage": {"prompt": 9, "completion": 1}},
                "success": True,
                "score": 1,
                "gradingResult": {"componentResults": [{"assertion": {"type": "equals"}, "pass": True, "score": 1}]},
                "testIdx": 0,
                "promptIdx": 0,
            }
        ],
        "stats": {},
    },
    "config": {"providers": [{"id": "openai:chat:gpt-4o", "config": {"temperature": 0.7, "apiKey": "sk-secret-1234"}}]},
}
TRAJECTORY = {
    "task_id": 3,
    "reward": 1.0,
    "trial": 0,
    "info": {"task": {"instruction": "You want to fly.", "user_id": "u"}},
    "traj": [
        *MESSAGES,
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3+3?"},
        {"role": "assistant", "content": "6"},
        {"role": "user", "content": "Thanks. ###STOP###"},
    ],
}  # fmt: skip
BATCHED = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": REQUEST}
RETURNED = {"id": "b1", "custom_id": "a", "response": {"status_code": 200, "body": ANSWER}, "error": None}
OWN = {"case_id": "sum", "run": 0, "model": "gpt-4o", "params": {"temperature": 0.7}, "messages": MESSAGES,
       "completion": "4"}  # fmt: skip
CURL = """curl https://llm.example.org/v1/chat/completions \\
  -H "Authorization: Bearer sk-very-secret" -u me:secret-word \\
  --data-raw '{ "model": "gpt-4o", "messages": [{"role": "user", "content": "It'\\''s 2+2?"}] }'
"""


def zipped(folder: Path, members: dict[str, Any], method: int = 93, name: str = "log.bin") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", method) as archive:
        for member, value in members.items():
            archive.writestr(member, value if isinstance(value, bytes) else json.dumps(value))
    return path


def taking(folder: Path, *files: Path, **more: Any) -> tuple[Recording, list[Any]]:
    with Store.open(folder / "store.sqlite") as store:
        found = take_in(read_files(files), store=store, folder=folder, **more)
        return found, store.samples(payload=True)


# -- what each format gives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "format", "fidelity"),
    [
        ({"request": REQUEST, "response": ANSWER}, "request and response", "exact"),
        (export(span(GENAI)), "OpenTelemetry", "partly"),
        (export(span(INFERENCE)), "OpenInference", "partly"),
        (OBSERVATION, "Langfuse", "partly"),
        (SAMPLE, "Inspect", "messages"),
        ({**HEADER, "samples": [SAMPLE]}, "Inspect", "partly"),
        (PROMPTFOO, "promptfoo", "partly"),
        (OWN, "recorded completions", "partly"),
    ],
)
def test_every_format_gives_the_same_call(tmp_path: Path, value: Any, format: str, fidelity: str) -> None:
    taken = only(save(tmp_path, value))
    assert (taken.format, taken.fidelity) == (format, fidelity)
    assert taken.body["messages"] == MESSAGES
    assert taken.body.get("temperature") == (None if fidelity == "messages" else 0.7)
    assert taken.completion is not None
    assert taken.completion.text == "4"
    assert taken.error is None
    placed = place(taken)
    assert not isinstance(placed, Skipped)
    assert (placed.key, placed.system, placed.request) == (key_of(MESSAGES), "Be brief.", "2+2?")


def test_a_pair_is_known_whole_with_its_tokens(tmp_path: Path) -> None:
    pretty = tmp_path / "pretty"
    pretty.write_text(
        json.dumps({"timestamp": "2026-11-27T12:00:00Z", "request": REQUEST, "response": ANSWER}, indent=2)
    )
    taken = only(pretty)
    assert (taken.body, taken.started) == (REQUEST, 1795780800.0)
    assert taken.completion is not None
    assert taken.completion.tokens[0].top == (("4", -0.1),)
    assert (taken.usage.prompt_tokens, taken.usage.completion_tokens) == (9, 1)
    assert (taken.model, taken.ids["record"]) == ("gpt-4o-2024-08-06", "chatcmpl-1")


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"status_code": 500, "body": {"error": {"message": "overloaded"}}}, "HTTP 500: overloaded"),
        ({"error": {"message": "no such model"}}, "no such model"),
        ({"choices": []}, "the recorded answer holds no completion"),
        (None, "the answer was not recorded"),
    ],
)
def test_what_stood_in_for_an_answer_is_kept(tmp_path: Path, response: Any, error: str) -> None:
    taken = only(save(tmp_path, {"request": REQUEST, "response": response}))
    assert (taken.completion, taken.error) == (None, error)


def test_a_streamed_answer_is_put_together_and_stream_is_not_sent_again(tmp_path: Path) -> None:
    pieces = [{"id": "c", "choices": [{"delta": {"content": t}}]} for t in ("4", "2")]
    pieces.append({"id": "c", "choices": [{"delta": {}, "finish_reason": "stop"}]})
    stream = "".join(f"data: {json.dumps(p)}\n\n" for p in pieces) + "data: [DONE]\n\n"
    taken = only(save(tmp_path, {"request": {**REQUEST, "stream": True}, "response": {"body": stream}}))
    assert taken.completion is not None
    assert (taken.completion.text, taken.completion.finish_reason) == ("42", "stop")
    assert "stream" not in taken.body
    assert "`stream` was taken out" in taken.guessed[0]


def test_requests_of_other_families_become_the_same_case(tmp_path: Path) -> None:
    anthropic = {"model": "claude-x", "max_tokens": 9, "system": "Be brief.", "messages": MESSAGES[1:]}
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "4"}],
        "stop_reason": "end_turn",
    }
    responses = {"model": "gpt-5", "instructions": "Be brief.", "input": "2+2?"}
    text = {"type": "message", "content": [{"type": "output_text", "text": "4"}]}
    taken, _ = read(
        save(tmp_path, {"request": anthropic, "response": said}, {"request": responses, "response": {"output": [text]}})
    )
    assert [t.api for t in taken] == ["messages", "responses"]
    assert [t.completion and t.completion.text for t in taken] == ["4", "4"]
    assert {getattr(place(t), "key", None) for t in taken} == {key_of(MESSAGES)}


def test_a_curl_command_is_read_and_its_secrets_are_not(tmp_path: Path) -> None:
    path = tmp_path / "pasted"
    path.write_text(CURL.replace("\n", "\r\n"))
    taken = only(path)
    assert taken.raw == """{ "model": "gpt-4o", "messages": [{"role": "user", "content": "It's 2+2?"}] }"""
    assert (taken.fidelity, taken.url) == ("exact", "https://llm.example.org/v1/chat/completions")
    assert "secret" not in repr(taken)
    path.write_text('curl https://x.org/v1 -d \'{"model": ')
    assert "breaks off" in read(path)[1][0].why


def test_a_batch_is_joined_with_its_answers_in_either_order(tmp_path: Path) -> None:
    asked, answered = (
        save(tmp_path, BATCHED, {**BATCHED, "custom_id": "c"}, name="in"),
        save(tmp_path, RETURNED, name="out"),
    )
    for files in ((asked, answered), (answered, asked)):
        taken, skipped = read(*files)
        assert [(t.completion.text if t.completion else None) for t in taken] == ["4", None]
        assert skipped == []
    _, skipped = read(answered)
    assert "whose request is in none of the files" in skipped[0].why
    assert only(save(tmp_path, BATCHED, name="alone")).fidelity == "exact"


def test_spans_of_the_earlier_forms_are_read(tmp_path: Path) -> None:
    flat = {"gen_ai.request.model": "gpt-4o", "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "2+2?", "gen_ai.completion.0.content": "4",
            "gen_ai.completion.0.finish_reason": "stop"}  # fmt: skip
    names = {"system": "Be brief.", "user": "2+2?"}
    events = [
        {"name": f"gen_ai.{role}.message", "attributes": span({"content": text})["attributes"]}
        for role, text in names.items()
    ]
    said = json.dumps({"role": "assistant", "content": "4"})
    events.append(
        {"name": "gen_ai.choice", "attributes": span({"message": said, "finish_reason": "stop"})["attributes"]}
    )
    base = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    taken, skipped = read(save(tmp_path, export(span(flat), span(base, "b7ad6b7169203332", events=events))))
    assert skipped == []
    for one in taken:
        assert (one.body["messages"], one.fidelity) == (MESSAGES, "messages")
        assert one.completion is not None
        assert (one.completion.text, one.completion.finish_reason) == ("4", "stop")


def test_a_call_in_spans_and_in_log_records_is_taken_once(tmp_path: Path) -> None:
    record = {"traceId": TRACE, "spanId": SPAN, "timeUnixNano": "1795780800000000000",
              "eventName": "gen_ai.client.inference.operation.details",
              "attributes": span(GENAI)["attributes"]}  # fmt: skip
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    taken, skipped = read(save(tmp_path, export(span(GENAI), span(GENAI)), logs))
    assert len(taken) == 1
    assert [s.why for s in skipped] == ["is a call that was taken already (the same span a second time)"] * 2
    assert only(save(tmp_path, logs)).body["messages"] == MESSAGES


def test_spans_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    empty = {k: v for k, v in GENAI.items() if "messages" not in k}
    taken, skipped = read(save(tmp_path, export(span({"http.method": "GET"}), span(empty, "b7ad6b7169203332"))))
    assert taken == []
    assert [s.why[:30] for s in skipped] == ["is a span that is no call of a", "is a call whose messages were "]
    assert SPAN in skipped[0].where


def test_a_clock_that_went_backwards_is_said_and_no_time_is_made_of_it(tmp_path: Path) -> None:
    taken = only(save(tmp_path, export(span(GENAI, endTimeUnixNano="1795780799000000000"))))
    assert taken.seconds is None
    assert "Its end lies before its start, so how long it took is not known." in taken.guessed
    assert only(save(tmp_path, export(span(GENAI)))).seconds == 1.5


def test_a_failed_span_and_evaluations_are_kept(tmp_path: Path) -> None:
    asked = {k: v for k, v in GENAI.items() if "output" not in k}
    scored = {"gen_ai.evaluation.name": "polite", "gen_ai.evaluation.score.value": 0.5}
    event = {"name": "gen_ai.evaluation.result", "attributes": span(scored)["attributes"]}
    taken = only(save(tmp_path, export(span(asked, status={"code": 2, "message": "429"}, events=[event]))))
    assert (taken.error, taken.marks[0].name, taken.marks[0].value) == ("429", "polite", 0.5)


def test_a_whole_request_inside_a_span_is_exact(tmp_path: Path) -> None:
    inside = only(save(tmp_path, export(span({**INFERENCE, "input.value": json.dumps(REQUEST)}))))
    assert (inside.fidelity, inside.body) == ("exact", REQUEST)
    assert inside.completion is not None
    assert inside.completion.tokens[0].logprob == -0.1
    logfire = only(save(tmp_path, export(span({**GENAI, "request_data": json.dumps(REQUEST)}))))
    assert (logfire.fidelity, logfire.body) == ("exact", REQUEST)


def test_parameters_that_langfuse_made_up_are_never_sent(tmp_path: Path) -> None:
    taken = only(save(tmp_path, OBSERVATION))
    assert {k: v for k, v in taken.body.items() if k not in ("model", "messages")} == {"temperature": 0.7}
    assert "max_tokens Infinity, top_p 1, frequency_penalty 0" in taken.guessed[0]
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.model.parameters": json.dumps(OBSERVATION["modelParameters"]),
        "langfuse.observation.input": json.dumps(MESSAGES),
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "4"}),
    }
    sent = only(save(tmp_path, export(span(attributes))))
    assert (sent.body, sent.format) == (taken.body, "Langfuse")


def test_scores_of_people_come_with_the_observation(tmp_path: Path) -> None:
    score = {"id": "s", "traceId": "t-1", "observationId": "obs-1", "name": "thumb", "value": 0, "comment": "wrong"}
    other = {**OBSERVATION, "id": "obs-2", "type": "SPAN"}
    taken, skipped = read(save(tmp_path, score, OBSERVATION, other))
    assert [(m.name, m.value, m.comment) for m in taken[0].marks] == [("thumb", 0, "wrong")]
    assert "of type span" in skipped[0].why
    whole = only(save(tmp_path, {"id": "t-1", "name": "x", "observations": [OBSERVATION], "scores": [score]}))
    assert (whole.body["messages"], whole.marks[0].name) == (MESSAGES, "thumb")


@pytest.mark.parametrize("method", [93, zipfile.ZIP_DEFLATED])
def test_a_log_of_inspect_is_read_with_raw_calls_and_scores(tmp_path: Path, method: int) -> None:
    called = {"event": "model", "output": SAMPLE["output"], "call": {"request": REQUEST, "response": ANSWER}}
    asked = {k: v for k, v in REQUEST.items() if k != "messages"}
    apart = {"request": {**asked, "tools": None}, "response": ANSWER, "call_refs": [[0, 2]], "call_key": "messages"}
    pooled = {"events": [{**called, "call": apart}], "events_data": {"calls": MESSAGES, "messages": []}}
    members = {
        "samples/sum-1_epoch_1.json": SAMPLE,
        "samples/sum-1_epoch_3.json": {**SAMPLE, "epoch": 3, "uuid": "u3", **pooled},
        "samples/sum-1_epoch_2.json": {**SAMPLE, "epoch": 2, "uuid": "u2", "events": [called], "target": "4"},
        "header.json": HEADER,
    }
    taken, skipped = read(zipped(tmp_path, members, method))
    assert skipped == []
    assert [t.fidelity for t in taken] == ["partly", "exact", "exact"]
    assert [(t.reward, t.expected, t.ids["case"]) for t in taken] == [(1.0, "4", "sum-1")] * 3
    assert taken[0].body == {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0.7}
    for one in taken[1:]:
        assert one.body == REQUEST
        assert one.completion is not None
        assert one.completion.tokens


def test_promptfoo_keeps_its_outcome_and_what_came_from_a_cache_is_no_run(tmp_path: Path) -> None:
    again = json.loads(json.dumps(PROMPTFOO))
    again["results"]["results"].append({**again["results"]["results"][0], "response": {"output": "4", "cached": True}})
    taken, skipped = read(save(tmp_path, again))
    assert (taken[0].reward, taken[0].marks[0].name, taken[0].body["model"]) == (1.0, "equals", "gpt-4o")
    assert "sk-secret" not in repr(taken)
    assert "cache" in skipped[0].why


def test_conversations_are_judged_whole_or_taken_at_a_turn(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    path.write_text(json.dumps([TRAJECTORY, {**TRAJECTORY, "trial": 1, "reward": 0.0}]))
    taken, _ = read(path)
    whole = place(taken[0])
    assert not isinstance(whole, Skipped)
    assert (whole.request, len(whole.history)) == ("You want to fly.", 5)
    turns = [place(taken[0], n) for n in (1, 2, -1, 3)]
    assert [t.request for t in turns if not isinstance(t, Skipped)] == ["2+2?", "And 3+3?", "And 3+3?"]
    assert [t.answered.text for t in turns if not isinstance(t, Skipped) and t.answered] == ["4", "6", "6"]
    assert isinstance(turns[3], Skipped)
    found, samples = taking(tmp_path, path)
    assert [s.sample.reward for s in samples] == [1.0, 0.0]
    assert (found.cases, found.arms[0].mean.value) == (1, 0.5)


# -- into the store and into a project ---------------------------------------------------------------------------------


def test_the_same_messages_are_one_case_whatever_brought_them(tmp_path: Path) -> None:
    files = [
        save(tmp_path, {"request": REQUEST, "response": ANSWER}, name="1"),
        save(tmp_path, export(span(GENAI)), name="2"),
        save(tmp_path, OBSERVATION, name="3"),
        save(tmp_path, PROMPTFOO, name="4"),
    ]
    found, samples = taking(tmp_path, *files)
    assert (found.cases, found.stored, {s.source for s in samples}) == (1, 4, {"imported"})
    assert found.intake is not None
    assert found.intake.fidelity == {"exact": 1, "partly": 3}
    assert dict(found.intake.marked) == {"equals": 1}
    again, samples = taking(tmp_path, *files)
    assert (again.stored, len(samples)) == (0, 4)


def test_equal_ids_of_a_careless_server_lose_no_call(tmp_path: Path) -> None:
    other = {**ANSWER, "choices": [{"message": {"content": "5"}, "finish_reason": "stop"}]}
    numbered = [{"id": "1", "request": REQUEST, "response": r} for r in (ANSWER, other, ANSWER)]
    found, samples = taking(tmp_path, save(tmp_path, *numbered))
    assert [s.sample.completion and s.sample.completion.text for s in samples] == ["4", "5"]
    assert found.intake is not None
    assert "taken already" in found.intake.left_out[0].why


def test_cases_of_the_project_are_found_again_and_its_checks_judge(tmp_path: Path) -> None:
    home = tmp_path / "p"
    home.mkdir()
    (home / "program.yaml").write_text("program: sums\nmodel: openai:gpt-4o\nsystem: Be brief.\n")
    (home / "cases.yaml").write_text("cases:\n- {id: two, input: {request: 2+2?}, checks: [{equals: '5'}]}\n")
    path = save(tmp_path, {"request": REQUEST, "response": ANSWER}, {"request": {**REQUEST, "messages": MESSAGES[1:]}})
    found, samples = taking(tmp_path, path, project=load_project(home))
    assert found.intake is not None
    assert (found.intake.matched, found.intake.made, found.intake.unanswered) == (1, 1, 1)
    assert ([s.case_id for s in samples], found.arms[0].mean.value) == (["two"], 1.0)


def test_a_call_under_what_the_program_was_before_is_still_of_its_case(tmp_path: Path) -> None:
    home = tmp_path / "p"
    home.mkdir()
    program, cases = home / "program.yaml", home / "cases.yaml"
    program.write_text("program: sums\nmodel: openai:gpt-4o\nsystem: Be brief.\n")
    cases.write_text("cases:\n- {id: two, input: {request: 2+2?}, checks: [{equals: '4'}]}\n")
    before = load_project(home)
    program.write_text("program: sums\nmodel: openai:gpt-4o\nsystem: Be brief, and right.\n")
    path = save(tmp_path, {"request": REQUEST, "response": ANSWER})
    place = {"series": "s", "idx": 0, "case_id": "two", "request_id": "r1:0"}
    with Store.open(tmp_path / "store.sqlite") as store:  # as a trial of a fix, it was never the program
        store.add_sample(Sample(Completion("4")), program_id=store.put_program(before.program), variant="tone", **place)
    found, _ = taking(tmp_path, path, project=load_project(home))
    assert found.intake is not None
    assert found.intake.matched == 0
    with Store.open(tmp_path / "store.sqlite") as store:
        place |= {"idx": 1}
        store.add_sample(Sample(Completion("4")), program_id=before.program.id, variant="baseline", **place)
    path = save(tmp_path, {"request": REQUEST, "response": {**ANSWER, "id": "another"}}, name="later.jsonl")
    found, samples = taking(tmp_path, path, project=load_project(home))
    assert found.intake is not None
    assert (found.intake.matched, samples[-1].case_id) == (1, "two")
    cases.write_text("cases:\n- {id: two, input: {ask: 2+2?}, checks: [{equals: '4'}]}\n")
    program.write_text("program: sums\nmodel: openai:gpt-4o\nuser: '{ask}'\n")
    found, _ = taking(tmp_path, path, project=load_project(home))  # whose earlier form cannot take this input
    assert found.intake is not None
    assert found.intake.matched == 0


def test_calls_are_grouped_into_a_project_that_loads_and_says_what_was_guessed(tmp_path: Path) -> None:
    other = {**REQUEST, "messages": [{"role": "system", "content": "Sing."}, {"role": "user", "content": "La"}]}
    tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function",
         "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "Done."},
    ]  # fmt: skip
    long = {**REQUEST, "tools": [tool], "messages": [MESSAGES[0], *history, MESSAGES[1]]}
    founding = Founding("calls")
    path = save(
        tmp_path, *({"request": r, "response": ANSWER | {"id": str(i)}} for i, r in enumerate([long, long, other]))
    )
    taking(tmp_path, path, keep=founding.look)
    said = founding.write(tmp_path / "new")
    assert "1 call of another feature" in said[0]
    project = load_project(tmp_path / "new")
    (case,) = project.cases
    sent = project.program.render(case.input, case.history).body
    assert (sent["messages"], sent["tools"], sent["temperature"]) == (long["messages"], [tool], 0.7)
    assert project.program.model == "openai:gpt-4o"
    assert "# the request is known whole, as it was sent: 2 calls." in (tmp_path / "new" / "program.yaml").read_text()


def test_later_steps_of_a_turn_are_not_counted_as_runs_of_it(tmp_path: Path) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    asks = {"role": "assistant", "content": None, "tool_calls": calls}
    first = {"id": "1", "choices": [{"message": asks, "finish_reason": "tool_calls"}]}
    step = {**REQUEST, "messages": [*MESSAGES, asks, {"role": "tool", "tool_call_id": "c1", "content": "4"}]}
    found, samples = taking(
        tmp_path, save(tmp_path, {"request": REQUEST, "response": first}, {"request": step, "response": ANSWER})
    )
    assert len(samples) == 1
    assert found.intake is not None
    assert "later step of a turn" in found.intake.left_out[0].why


def test_calls_with_a_secret_in_them_are_left_out_and_the_others_stored(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key-in-use-1234")
    leaking = {**REQUEST, "messages": [{"role": "user", "content": "my key is sk-the-key-in-use-1234"}]}
    found, samples = taking(tmp_path, save(tmp_path, {"request": leaking, "response": ANSWER | {"id": "x"}},
                                           {"request": REQUEST, "response": ANSWER}))  # fmt: skip
    assert len(samples) == 1
    assert found.intake is not None
    assert "holds a key in use" in found.intake.left_out[0].why
    assert b"sk-the-key" not in (tmp_path / "store.sqlite").read_bytes()


def test_several_completions_of_a_call_are_samples_of_their_own(tmp_path: Path) -> None:
    two = {**ANSWER, "choices": [ANSWER["choices"][0], {"message": {"content": "5"}, "finish_reason": "stop"}]}
    _, samples = taking(
        tmp_path, save(tmp_path, {"request": REQUEST, "response": two}), checks=(Check.of("equals", "4"),)
    )
    assert [s.sample.completion and s.sample.completion.text for s in samples] == ["4", "5"]
    assert [s.sample.usage.completion_tokens for s in samples] == [1, None]


# -- one call, to investigate ------------------------------------------------------------------------------------------


def test_one_call_becomes_a_program_with_what_is_not_known_of_it(tmp_path: Path) -> None:
    exact = single_call(save(tmp_path, {"request": REQUEST, "response": ANSWER}))
    assert (json.loads(exact.program.raw or ""), exact.program.model, exact.caveats) == (REQUEST, "openai:gpt-4o", ())
    traced = single_call(save(tmp_path, OBSERVATION))
    assert json.loads(traced.program.raw or "") == {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0.7}
    assert traced.caveats[0].startswith("Of the request that was reported, the messages are known whole")
    assert "max_tokens Infinity" in traced.caveats[1]


def test_of_several_calls_one_is_named_by_its_number(tmp_path: Path) -> None:
    path = save(tmp_path, {"request": REQUEST}, {"request": {**REQUEST, "model": "other"}})
    assert single_call(Path(f"{path}#2")).program.model == "openai:other"
    for name, message in (
        (path, "holds 2 calls; name one"),
        (f"{path}#3", "holds only 2 calls"),
        (f"{path}#x", "write .*#2"),
    ):
        with pytest.raises(UsageError, match=message):
            single_call(Path(name))


# -- the commands ------------------------------------------------------------------------------------------------------


def test_import_reads_any_of_them_and_says_what_was_left_out(tmp_path: Path, capsys: Any) -> None:
    pasted = tmp_path / "pasted"
    pasted.write_text(CURL)
    spans = save(tmp_path, export(span(GENAI), span({"a": 1}, "b7ad6b7169203332")), name="spans")
    pairs = save(tmp_path, {"request": REQUEST, "response": ANSWER}, name="pairs")
    pairs.write_text(pairs.read_text() + '{"request": {"mod')
    ran = reroll(capsys, "import", pasted, spans, pairs, "--check", "equals: '4'", "--project", tmp_path)
    text = " ".join(ran.out.split())
    for said in (
        "1 call from curl", "1 call from OpenTelemetry", "1 call from request and response",
        "2 calls: the request is known whole, as it was sent", "1 request without an answer",
        "1 record: is no JSON; does the file break off here? (", "1 record: is a span that is no call of a model (",
        "fails 0 % of the time", "Stored 2 samples",
    ):  # fmt: skip
        assert said in text
    again = reroll(capsys, "import", spans, pairs, "--project", tmp_path, "--json").json
    assert (again["schema"], again["stored"], again["intake"]["formats"]) == (
        "reroll.import/1", 0, {"OpenTelemetry": 1, "request and response": 1},
    )  # fmt: skip
    listed = reroll(capsys, "import", tmp_path / "none", "--project", tmp_path)
    assert (listed.code, "there is no such file" in listed.complaint) == (2, True)


def test_a_foreign_file_leaves_nothing_behind(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n")
    ran = reroll(capsys, "import", path, "--project", tmp_path / "p")
    assert ran.code == 2
    assert "is in no format that is read here" in ran.complaint
    assert not (tmp_path / "p").exists()
    assert reroll(capsys, "import", path, "--turn", "0", "--project", tmp_path).code == 2


def test_a_project_made_of_traffic_runs(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("4")) as (server, url):
        where = f"{url}/chat/completions"
        calls = [{"request": REQUEST, "url": where, "response": ANSWER | {"id": i}} for i in "ab"]
        made = reroll(capsys, "import", save(tmp_path, *calls), "--into", tmp_path / "p", "--check", "equals: '4'")
        assert made.code == 0
        (case,) = load_project(tmp_path / "p").cases
        ran = reroll(capsys, "investigate", "--case", case.id, "--project", tmp_path / "p", "--budget", "12", "--json")
        listed = reroll(capsys, "samples", case.id, "--project", tmp_path / "p", "--json").json
    assert ran.json["luck"]["rate"]["failures"] == 0
    assert json.loads(server.bodies[0])["messages"] == MESSAGES
    assert len(listed["samples"]) == 2 + ran.json["cost"]["calls"]
    again = reroll(capsys, "import", tmp_path / "data.bin", "--into", tmp_path / "p")
    assert (again.code, "exists already" in again.complaint) == (2, True)


def test_a_traced_call_is_investigated_with_what_is_not_known_of_it(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("4")) as (server, url):
        ran = reroll(
            capsys, "investigate", "--request", save(tmp_path, OBSERVATION), "--expect", "equals: '4'",
            "--model", "openai:tiny", "--base-url", url, "--project", tmp_path, "--budget", "12", "--json",
        )  # fmt: skip
    assert ran.json["report"]["fidelity"] == "partly"
    assert ran.json["report"]["saw"] == "4"
    assert "the messages are known whole, the parameters only in part" in ran.json["caveats"][0]
    assert json.loads(server.bodies[0]) == {"model": "tiny", "messages": MESSAGES, "temperature": 0.7}


def curl_to(tmp_path: Path, address: str) -> Path:
    ask = json.dumps({"model": "tiny", "messages": MESSAGES})
    path = tmp_path / "call.sh"
    path.write_text(f"curl {address}/chat/completions -H 'Content-Type: application/json' -d '{ask}'\n")
    return path


def test_no_report_alone_says_where_calls_and_keys_go(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("REROLL_API_KEY", "a-key-for-somewhere-else")
    report = curl_to(tmp_path, "https://evil.example/v1")
    ran = reroll(capsys, "investigate", "--request", report, "--expect", "equals: '4'", "--project", tmp_path)
    assert ran.code == 2
    assert "say so with --base-url https://evil.example/v1" in ran.complaint
    with in_background(in_turn("4")) as (server, url):
        here = ["--base-url", url, "--project", tmp_path, "--budget", "6", "--json"]
        ran = reroll(capsys, "investigate", "--request", report, "--expect", "equals: '4'", *here)
    assert ran.json["luck"]["rate"]["failures"] == 0
    assert server.calls > 0


def test_a_project_made_of_a_file_says_where_its_calls_will_go(tmp_path: Path, capsys: Any) -> None:
    made = reroll(capsys, "import", curl_to(tmp_path, "https://evil.example/v1"), "--into", tmp_path / "p")
    assert made.code == 0
    assert (
        "Calls go to https://evil.example/v1, and a key if one is set" in (tmp_path / "p" / "program.yaml").read_text()
    )


def test_what_the_project_says_of_its_model_holds_for_a_report_too(tmp_path: Path) -> None:
    called = single_call(curl_to(tmp_path, "https://evil.example/v1"), Served("openai:tiny", None, whole=True))
    assert called.program.base_url is None  # the vendor's, as the project has it
    assert any("It was recorded at https://evil.example/v1" in caveat for caveat in called.caveats)
    assert single_call(curl_to(tmp_path, "http://127.0.0.1:8080/v1")).program.base_url == "http://127.0.0.1:8080/v1"


def test_whoever_may_send_traces_cannot_say_where_they_are_sent_again(tmp_path: Path) -> None:
    for address in ("https://evil.example/v1", "http://127.0.0.1:6379/v1", "http://169.254.169.254/v1"):
        request = Request("openai:tiny", address, {"messages": MESSAGES})
        with Store.open(":memory:") as store:
            store.put_request("rq1:0", request, "x")
            store.add_samples([NewSample(Sample(Completion("4")), "rq1:0", "s", 0, "p", "a", source="imported")])
            (stored,) = store.samples()
        with pytest.raises(UsageError, match="say so with --base-url"):
            single_stored(stored, request)
        assert single_stored(stored, request, Served("openai:tiny", None, whole=True)).program.base_url is None


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"date,answer\n1,2\n", "is in no format that is read here, which are: request and response as JSON"),
        (b'{"a": 1}\n', "is in no format"),
        (b"\x89PNG\r\n\x1a\n\x00", "is in no format|encoding"),
        (b'{"request":\n  {"messages"', "no whole JSON; does the file break off"),
        (b"PK\x03\x04 no zip", "the zip file breaks off"),
        (b"\x1f\x8b\x08\x00broken", "breaks off or is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FileError, match="there is no such file"):
        read(tmp_path / "missing")


def line(**more: Any) -> bytes:
    return json.dumps({"request": REQUEST, "response": ANSWER, **more}, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(line()),
        zstd.compress(line()),
        b"\xef\xbb\xbf" + line(),
        line().decode().encode("utf-16"),
        line().decode().encode("utf-16-le"),
        line().replace(b"\n", b"\r\n"),
        b"\n\n" + line(),
    ],
    ids=["gzip", "zstd", "mark", "utf-16", "utf-16 without mark", "CRLF", "empty lines"],
)
def test_packing_and_encoding_make_no_difference(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert only(path).body == REQUEST


def test_lines_that_are_amiss_are_skipped_by_number(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(line() + b'{"request": "caf\xe9"}\n' + b"[" * 100_000 + b"\n" + b'{"other": 1}\n' + line()[:-40])
    taken, skipped = read(path)
    assert len(taken) == 1
    found = {s.where.rpartition(":")[2]: s.why for s in skipped}
    assert found["2"] == "is not in the encoding of the file (UTF-8)"
    assert found["3"] == "is no JSON"
    assert "has no `request`" in found["4"]
    assert "break off here" in found["5"]


def test_why_a_record_is_left_out_quotes_it_so_that_it_steers_no_terminal_and_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(json.dumps([{**OBSERVATION, "type": "SPAN \x9f\x1b[31m" + "y" * 9000}, OBSERVATION]))
    taken, skipped = read(path)
    assert len(taken) == 1
    assert skipped[0].why.startswith(r"is an observation of type span \x9f\x1b[31my")
    assert len(skipped[0].why) < 2100


def test_a_model_whose_name_holds_half_a_character_is_stored_with_its_call(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(json.dumps({"request": {**REQUEST, "model": "m\ud800"}, "response": ANSWER}))
    with Store.open(tmp_path / "store.sqlite") as store:
        assert take_in(read_files([path]), store=store, folder=tmp_path).samples == 1
        request = store.get_request(store.samples()[0].request_id)
        assert take_in(read_files([path]), store=store, folder=tmp_path).stored == 0
    assert request.identity.endswith("m?")


def test_a_file_that_unpacks_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(unpacked, "SUSPICIOUS", 2**20)
    monkeypatch.setattr(unpacked, "MOST_VALUE", 2**18)
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(line() + b"\0" * 2**24))
    taken, skipped = read(path)
    assert len(taken) == 1
    assert [s.why[:20] for s in skipped] == ["is longer than 0 MiB", "the file unpacks to "]


def test_one_huge_line_is_skipped_and_those_after_it_are_read(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(unpacked, "MOST_VALUE", 2**16)
    path = tmp_path / "x"
    path.write_bytes(line() + line(padding="x" * 2**18) + line())
    taken, skipped = read(path)
    assert (len(taken), [s.where[-2:] for s in skipped]) == (2, [":2"])
    path.write_bytes(line(padding="x" * 2**18))
    with pytest.raises(FileError, match="is longer than"):
        read(path)


KEYS = st.sampled_from(
    """messages role content tool_calls function name arguments request response body choices message usage error model
    resourceSpans scopeSpans spans attributes key value stringValue arrayValue values events traceId spanId status
    gen_ai.input.messages gen_ai.operation.name llm.input_messages.0.message.role llm.input_messages.0 input output
    type parts custom_id params result results version prompt raw provider config providers task_id traj reward
    simulations tasks eval samples id epoch scores case_id run completion logprobs tools system""".split()
) | st.text(max_size=4)  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
AI_SDK = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.id": "m",
    "ai.settings.temperature": 0.5,
    "ai.prompt.messages": '[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]',
    "ai.prompt.tools": ['{"type": "function", "name": "look", "inputSchema": {}}'],
    "ai.prompt.toolChoice": '{"type": "auto"}',
    "ai.response.text": "ho",
    "ai.response.toolCalls": '[{"toolCallId": "c", "toolName": "look", "input": {}}]',
    "ai.response.providerMetadata": '{"openai": {"logprobs": [{"token": "ho", "logprob": -1}]}}',
}
EVALUATED = {"gen_ai.evaluation.name": "right", "gen_ai.evaluation.score.label": "pass"}
RECORD = {"eventName": "gen_ai.evaluation.result", "traceId": "1" * 32, "spanId": "2" * 16, "attributes": EVALUATED}
GOOD = (
    {"request": REQUEST, "response": ANSWER}, export(span(GENAI)), export(span(INFERENCE)), OBSERVATION, SAMPLE,
    export(span(AI_SDK)), {"resourceLogs": [{"scopeLogs": [{"logRecords": [RECORD]}]}]},
    {**HEADER, "samples": [SAMPLE]}, PROMPTFOO, TRAJECTORY, BATCHED, RETURNED, OWN, REQUEST,
)  # fmt: skip


def places_of(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for k, v in items for p in places_of(v, (*at, k)))]


def with_odd(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = with_odd(copy[at[0]], at[1:], odd)
    return copy


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A good record in one place of which stands something else, or no good record at all."""
    good = draw(st.sampled_from(GOOD))
    return (
        draw(ODD) if draw(st.integers(0, 4)) == 0 else with_odd(good, draw(st.sampled_from(places_of(good))), draw(ODD))
    )


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(value=damaged())
def test_no_json_whatever_raises_anything_but_a_sentence(value: Any, tmp_path_factory: Any) -> None:
    text = json.dumps(value)
    value = json.loads(text, parse_constant=str)
    for format in FORMATS:
        for found in format.read([Value("x", value, text)]):
            if isinstance(found, Taken):
                place(found)
                place(found, 1)
    format_of([value])


@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(values=st.lists(damaged(), min_size=1, max_size=4))
def test_no_file_of_json_makes_the_import_fail(values: list[Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("odd")
    founding = Founding("odd")
    try:
        taking(folder, save(folder, *values), keep=founding.look)
    except RerollError:
        return
    if founding.groups:
        founding.write(folder / "new")
        load_project(folder / "new")
