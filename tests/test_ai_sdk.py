"""Spans of the AI SDK for TypeScript; their shape is that which version 6.0.326 (`ai`, with `@ai-sdk/openai`) wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

from reroll.intake.formats import read_files
from reroll.intake.taken import Skipped, Taken

SYSTEM = {"role": "system", "content": "Answer with a weekday — nothing else."}


def said(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]


def typed(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [typed(v) for v in value]}}
    kind = {int: "intValue", float: "doubleValue", str: "stringValue"}[type(value)]
    return {kind: str(value) if isinstance(value, int) else value}


def span(operation: str, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A span of the SDK: what is in all of them, and these."""
    about = {
        "operation.name": f"{operation} which-day",
        "ai.operationId": operation,
        "ai.telemetry.functionId": "which-day",
        "ai.model.provider": "openai.chat",
        "ai.model.id": "gpt-4o-mini",
        "ai.settings.temperature": 0.7,
        "ai.settings.seed": 7,
        "ai.settings.maxRetries": 0,
    }
    if ".do" in operation:  # the call itself also speaks OpenTelemetry's words, the span around it does not
        about |= {"gen_ai.system": "openai.chat", "gen_ai.request.model": "gpt-4o-mini"}
        about |= {"gen_ai.request.temperature": 0.7}
    listed = [{"key": k, "value": typed(v)} for k, v in {**about, **attributes}.items()]
    id = f"{crc32(json.dumps(attributes).encode()):016x}"
    return {"traceId": "0" * 31 + "1", "spanId": id, "name": operation, "attributes": listed, **more}


def read(folder: Path, *spans: dict[str, Any]) -> list[Taken | Skipped]:
    file = folder / "spans.json"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "ai"}, "spans": list(spans)}]}]}))
    return list(read_files([file]))


ANSWERED = {
    "ai.response.finishReason": "stop",
    "ai.response.text": "Friday",
    "ai.response.model": "gpt-4o-mini-2026-01-01",
    "ai.usage.inputTokens": 21,
    "ai.usage.outputTokens": 2,
    "ai.usage.cachedInputTokens": 4,
    "gen_ai.response.finish_reasons": ["stop"],
}


def one(folder: Path, operation: str, attributes: dict[str, Any], **more: Any) -> Taken:
    (found,) = read(folder, span(operation, attributes, **more))
    assert isinstance(found, Taken)
    return found


def test_a_call_is_known_with_its_settings_answer_and_token_probabilities(tmp_path: Path) -> None:
    logprobs = [{"token": "Friday", "logprob": -0.25, "top_logprobs": [{"token": "Friday", "logprob": -0.25}]}]
    messages = [SYSTEM, {"role": "user", "content": said("Lunch “next Friday”?")}]
    metadata = json.dumps({"openai": {"logprobs": logprobs}})
    asked = {"ai.prompt.messages": json.dumps(messages), "ai.response.providerMetadata": metadata, **ANSWERED}
    taken = one(tmp_path, "ai.generateText.doGenerate", asked)
    assert taken.body == {
        "model": "gpt-4o-mini",
        "messages": [SYSTEM, {"role": "user", "content": "Lunch “next Friday”?"}],
        "temperature": 0.7,
        "seed": 7,
    }
    assert (taken.fidelity, taken.provider, taken.model) == ("partly", "openai", "gpt-4o-mini-2026-01-01")
    assert taken.completion is not None
    assert (taken.completion.text, taken.completion.finish_reason) == ("Friday", "stop")
    assert [(t.text, t.logprob) for t in taken.completion.tokens] == [("Friday", -0.25)]
    assert (taken.usage.prompt_tokens, taken.usage.completion_tokens, taken.usage.cached_tokens) == (21, 2, 4)


def test_tool_calls_and_their_results_become_messages_of_the_api(tmp_path: Path) -> None:
    call = {"type": "tool-call", "toolCallId": "call_1", "toolName": "look_up", "input": {"day": "Friday"}}
    output = {"type": "json", "value": {"free": False}}
    result = {"type": "tool-result", "toolCallId": "call_1", "toolName": "look_up", "output": output}
    messages = [
        {"role": "user", "content": said("Is Friday free?")},
        {"role": "assistant", "content": [call]},
        {"role": "tool", "content": [result]},
        {"role": "user", "content": said("And Monday?")},
    ]
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    tool = {"type": "function", "name": "look_up", "description": "Looks up.", "inputSchema": schema}
    taken = one(
        tmp_path,
        "ai.streamText.doStream",
        {
            "ai.prompt.messages": json.dumps(messages),
            "ai.prompt.tools": [json.dumps(tool)],
            "ai.prompt.toolChoice": '{"type":"auto"}',
            "ai.settings.maxOutputTokens": 64,
            "ai.response.finishReason": "tool-calls",
            "ai.response.toolCalls": json.dumps(
                [{"toolCallId": "call_9", "toolName": "look_up", "input": '{"day": "Monday"}'}]
            ),
        },
    )
    assert taken.body["messages"][1:3] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"day":"Friday"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"free":false}'},
    ]
    function = {"name": "look_up", "description": "Looks up.", "parameters": schema}
    assert taken.body["tools"] == [{"type": "function", "function": function}]
    assert (taken.body["tool_choice"], taken.body["max_tokens"]) == ("auto", 64)
    assert taken.completion is not None
    assert taken.completion.finish_reason == "tool_calls"
    assert taken.completion.tool_calls[0]["function"] == {"name": "look_up", "arguments": '{"day": "Monday"}'}


def test_a_failed_call_is_an_error_and_the_span_around_a_call_is_none(tmp_path: Path) -> None:
    messages = json.dumps([{"role": "user", "content": said("Which day?")}])
    status = {"code": 2, "message": "No: server_error."}
    failed, around = read(
        tmp_path,
        span("ai.generateText.doGenerate", {"ai.prompt.messages": messages}, status=status),
        span("ai.generateText", {"ai.prompt": '{"prompt":"Which day?"}'}, status=status),
    )
    assert isinstance(failed, Taken)
    assert (failed.completion, failed.error) == (None, "No: server_error.")
    assert isinstance(around, Skipped)
    assert around.why == "is a span that is no call of a model"


def test_what_the_span_does_not_keep_is_said(tmp_path: Path) -> None:
    messages = json.dumps([{"role": "user", "content": said("As JSON?")}])
    about = {"ai.prompt.messages": messages, "ai.model.provider": "openai.responses", "ai.response.object": "{}"}
    taken = one(tmp_path, "ai.generateObject.doGenerate", about)
    assert "in the form of JSON was asked for" in " ".join(taken.guessed)
    assert "went to the Responses API" in " ".join(taken.guessed)


def test_a_call_whose_content_was_not_recorded_is_left_out_and_said(tmp_path: Path) -> None:
    (found,) = read(tmp_path, span("ai.generateText.doGenerate", {}))
    assert isinstance(found, Skipped)
    assert "were not captured" in found.why
