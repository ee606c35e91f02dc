"""The calls that every tool is asked to make, with a client of the openai package."""

from __future__ import annotations

from typing import Any

MODEL = "gpt-4o-mini"
SYSTEM = {"role": "system", "content": "Answer with a weekday — nothing else."}
ASKED = {"role": "user", "content": "Lunch with Zoë “next Friday”?\nWhich day is that?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a day up.",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    },
}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"day":"Friday"}'}}
HISTORY = [
    {"role": "user", "content": "Is Friday free?"},
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"free": false}'},
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "And Monday?"},
]
SET = {"temperature": 0.7, "seed": 7}
# By name, the request of each call, as it goes over the wire; `stream` aside.
CALLS: dict[str, dict[str, Any]] = {
    "plain": {"messages": [SYSTEM, ASKED], **SET, "logprobs": True, "top_logprobs": 2},
    "tools": {"messages": [SYSTEM, *HISTORY], **SET, "max_tokens": 64, "tools": [TOOL], "tool_choice": "auto"},
    "streamed": {"messages": [SYSTEM, {"role": "user", "content": "Streamed?"}], **SET, "stream": True},
    "several": {"messages": [SYSTEM, {"role": "user", "content": "Twice?"}], **SET, "n": 2},
    "shaped": {
        "messages": [SYSTEM, {"role": "user", "content": "As JSON?"}],
        "top_p": 0.9,
        "stop": ["END"],
        "response_format": {"type": "json_object"},
    },
    "bare": {"messages": [{"role": "user", "content": "Nothing set?"}]},
    "busy": {"messages": [SYSTEM, {"role": "user", "content": "fail with 429"}], **SET},
    "broken": {"messages": [SYSTEM, {"role": "user", "content": "fail with 500"}], **SET},
}


def make_all(client: Any) -> None:
    """Every call once, in their order; those that fail are caught, as a product would."""
    for name, asked in CALLS.items():
        try:
            got = client.chat.completions.create(model=MODEL, **asked)
            if asked.get("stream"):
                for _ in got:
                    pass
        except Exception as problem:
            print(f"{name}: {type(problem).__name__}")
