"""Valid files, records and events, each rich in what may stand in it: the fuzzer damages them in a few places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests import test_intake

JSON = Any
PROGRAM: JSON = {
    "program": "mail",
    "model": "openai:big",
    "base_url": "http://localhost:1/v1",
    "effects": "none",
    "params": {"temperature": 1, "max_tokens": 20, "stop": ["x"]},
    "system": {"role": "You sort mail.", "form": "Answer in JSON. Be {kind}."},
    "documents": {"policy": "No refunds. Ask Ana."},
    "examples": [
        {"name": "a", "user": "Mail a", "assistant": '{"label": "spam"}'},
        {"name": "b", "user": "b", "assistant": "{}"},
    ],
    "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
    "tools": [
        {"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": {"type": "object"}}}
    ],
    "user": "Sort: {request}",
    "structured": "both",
    "response": {
        "type": "object",
        "properties": {
            "label": {"type": "string", "description": "The kind."},
            "why": {},
            "score": {"type": ["number", "null"]},
        },
        "required": ["label"],
        "additionalProperties": False,
    },
    "steps": [
        {"step": "retry", "checks": [{"contains": "label"}], "times": 2},
        {"step": "rewrite", "on": "completion", "replace": [["a+", "b"]], "rename": {"a": "b"}, "set": {"/x": 1}},
        {"step": "block", "when": {"completion": "secret"}, "says": "No."},
        {"step": "answer", "when": {"input": "^hello"}, "set": {"label": "ham"}},
    ],
    "neutral": {"system.role": "Be polite."},
    "alternatives": {"params.temperature": [0], "model": ["openai:small"]},
    "replicas": {"a": {"base_url": "http://localhost:2/v1"}, "b": {"headers": {"x-replica": "b"}}},
    "target": 0.99,
    "reference_rate": 0.02,
    "prevalence": 0.1,
    "margin": 0.02,
}
PRODUCT: JSON = {
    "program": "p",
    "model": "http:http://localhost:1/x",
    "http": {"body": {"q": "{request}"}, "text": "/a"},
}
CASES: JSON = {
    "cases": [
        {
            "id": "spam",
            "input": {"request": "Win money", "kind": "brief"},
            "history": [{"role": "user", "content": "x"}],
            "expected": {"label": "spam"},
            "checks": [
                {"name": "right", "json": {"label": "{expected.label}", "score": 0.5}},
                {"schema": True},
                {"matches": "(?i)spam|ham"},
                {"any": [{"equals": "spam"}, {"not": {"contains": ["ham", "{request}"]}}]},
                {"tool_call": {"name": "find", "arguments": {"q": 1}}},
                {"schema": {"type": "object", "properties": {"label": {"enum": ["spam", "ham"]}}}},
                {"all": [{"contains": "a"}]},
            ],
        },
        {
            "id": "near",
            "set": "neighbour",
            "of": "spam",
            "input": {"request": "Win cash", "kind": "x"},
            "checks": [{"contains": "spam"}],
        },
        {"id": "plain", "set": "control", "input": {"request": "Hello", "kind": "y"}, "checks": [{"contains": "ham"}]},
    ]
}
FIXES: Sequence[JSON] = (
    {
        "fix": "a",
        "kind": "clause.add",
        "target": "system.new",
        "text": "Say so.",
        "at": {"before": "role"},
        "author": "ana",
    },
    {"fix": "b", "kind": "clause.deconflict", "target": "system.role", "over": ["form"], "text": "x"},
    {"fix": "c", "kind": "example.balance", "target": "examples", "by": "/label"},
    {"fix": "d", "kind": "response.on", "schema": {"type": "object"}, "structured": "both"},
    {"fix": "e", "kind": "document.trim", "target": "documents.policy", "keep": [1]},
    {"fix": "f", "kind": "field.rename", "target": "response.label.name", "text": "kind"},
    {"fix": "g", "kind": "type.narrow", "target": "response.label.type", "schema": {"maxLength": 3}},
    {"fix": "h", "kind": "type.enum", "target": "response.label.type", "values": ["a", 1, None]},
    {"fix": "i", "kind": "params.set", "target": "params.temperature", "value": 0},
    {"fix": "j", "kind": "sample.vote", "n": 3, "by": "/label", "when": {"input": "a"}},
    {"fix": "k", "kind": "patch.special_case", "when": {"input": "(?i)refund"}, "set": {"label": "ham"}},
    {"fix": "l", "kind": "guard.rewrite", "on": "input", "when": {"input": "a"}, "replace": [["a+", "b"]]},
    {"fix": "m", "kind": "patch.postprocess", "strip_fences": True, "drop": ["why"], "rename": {"a": "b"}},
    {"fix": "n", "kind": "reason.first", "name": "why", "text": "Why."},
    {"fix": "o", "kind": "document.quote", "target": "documents.policy", "text": "Ask Ana.", "name": "q"},
    {"fix": "p", "kind": "example.reorder", "target": "examples.order", "order": ["b", "a"]},
)
IDEAS: JSON = {
    "ideas": [
        {"idea": "Say the week.", "by": "lena", "case": "spam"},
        {"idea": "Two.", "by": "<lena>", "case": "spam", "fix": "a", "confirmed": True},
    ]
}
WATCH: JSON = {
    "watch": "meetings",
    "false_alarms": {"weeks": 8},
    "target": 0.99,
    "runs": ["imported", "draw"],
    "streams": [
        {
            "name": "dates",
            "cases": ["call-*"],
            "checks": [{"json": {"date": "2026-11-27"}}],
            "split": ["model", "program"],
            "baseline": {"first": 1000},
            "errors": {"first": 1000},
            "silence": True,
        },
        {"name": "helpful", "cases": ["chat-*"], "score": True, "baseline": 0.01, "errors": False},
    ],
    "investigate": {"max_usd": 5, "budget": 200},
    "tell": {
        "slack": "C0123456789",
        "webhook": "https://alarms.example.org/x",
        "secret": "REROLL_WATCH_SECRET",
        "pages": "https://reroll.example.org",
    },
}
LABELS = b'{"sample": "s1", "outcome": "pass", "by": "ana"}\n\n{"sample": "s2", "outcome": "unsure", "note": "x"}\n'
CHECKS: Sequence[JSON] = tuple(CASES["cases"][0]["checks"])
ANSWER: JSON = test_intake.ANSWER
SAID = {
    "message": {
        "type": "message",
        "model": "c",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "4"},
            {"type": "tool_use", "id": "t", "name": "find", "input": {"q": 1}},
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 1},
    },
    "response": {
        "id": "r",
        "model": "g",
        "status": "completed",
        "output": [
            {"type": "reasoning", "summary": []},
            {
                "type": "message",
                "content": [
                    {
                        "type": "output_text",
                        "text": "4",
                        "logprobs": [{"token": "4", "logprob": -1, "top_logprobs": []}],
                    }
                ],
            },
            {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
    "text": {
        "id": "x",
        "choices": [
            {
                "text": "4",
                "finish_reason": "stop",
                "logprobs": {
                    "tokens": ["4"],
                    "token_logprobs": [-0.1],
                    "top_logprobs": [{"4": -0.1}],
                    "text_offset": [0],
                },
            }
        ],
        "usage": {"prompt_tokens": 3},
    },
}
SLACK: Sequence[JSON] = (
    {
        "type": "event_callback",
        "event_id": "E1",
        "authorizations": [{"user_id": "UB"}],
        "event": {
            "type": "app_mention",
            "user": "U1",
            "channel": "C1",
            "ts": "1.2",
            "thread_ts": "1.1",
            "text": "<@UB> I tried",
        },
    },
    {"command": "/reroll", "text": "I tried", "user_id": "U1", "channel_id": "C1", "trigger_id": "t"},
    {
        "type": "block_actions",
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
        "message": {"ts": "1.2", "thread_ts": "1.1"},
        "actions": [{"action_id": "start", "value": "1", "block_id": "b", "action_ts": "1.3"}],
        "trigger_id": "t",
    },
    {
        "type": "view_submission",
        "user": {"id": "U1"},
        "view": {
            "callback_id": "report",
            "private_metadata": "{}",
            "id": "V",
            "state": {"values": {"words": {"words": {"type": "plain_text_input", "value": "x"}}}},
        },
    },
    {
        "type": "message_action",
        "callback_id": "report",
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
        "trigger_id": "t",
        "message": {"ts": "1.2", "text": "It failed", "user": "U2"},
    },
)
