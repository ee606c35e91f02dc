"""What an OpenAI-compatible server can do, found by a few cheap calls: what `reroll doctor` shows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from reroll.models.model import Capabilities
from reroll.models.probe_tokens import (
    Post,
    echo,
    first_alternatives,
    logprobs_mode,
    post_sampling,
    prompt_logprobs,
    token_prompt,
)
from reroll.models.thoughts import thought_over
from reroll.sample import served

__all__ = [
    "ANY_IDS",
    "ASK",
    "AWAY",
    "FAILED",
    "MOST_TOKENS",
    "PREFIX",
    "REFUSED",
    "SCHEMA",
    "SCHEMA_TRIES",
    "THINKS",
    "TOOL",
    "probe",
    "unsure",
]

REFUSED = "A given beginning of an answer is"  # how the note on prefixes begins
THINKS = "It thinks before it answers"  # how the note on hidden reasoning begins
FAILED = "A plain call failed"  # how the note begins where nothing else was tried
# No answer, or one that says "not now": nothing of what the server can do. A 500 twice is how some refuse.
AWAY = (0, 408, 429, 502, 503, 504, 529)

T = TypeVar("T")
ASK = ({"role": "user", "content": "Write six random words."},)
MOST_TOKENS = 12
PREFIX = "One two three four"
SCHEMA_TRIES = 5
ANY_IDS = (100, 200, 300)  # where no token id is known: every vocabulary has these
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "note",
        "description": "Write down a word.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}


async def probe(post: Post) -> Capabilities:
    """The capabilities behind `post`. A refusal is a False with a sentence in `notes`, never an exception."""
    notes: list[str] = []
    heard = _Heard(post)
    limit = await _limit_key(heard, notes)
    if limit is None:
        return Capabilities(notes=tuple(notes))
    asks = _Asks(heard, limit, notes)

    async def known(work: Awaitable[T]) -> T | None:
        """What was found; None where it was not, and a call brought no answer that might have shown it."""
        before, said = heard.unanswered, len(notes)
        value = await work
        if value or heard.unanswered == before:
            return value
        del notes[said:]
        return None

    temperature, logprobs = await known(asks.temperature()), await known(asks.logprobs())
    ids = await known(asks.token_ids())
    found = Capabilities(
        n=await known(asks.n()),
        seed=await known(asks.seed()),
        temperature=temperature,
        logprobs=logprobs,
        logprobs_mode=await known(logprobs_mode(asks.first_at, notes)) if (logprobs or 0) > 1 and temperature else None,
        post_sampling=await known(post_sampling(heard)),
        prompt_logprobs=await known(prompt_logprobs(heard, {"messages": ASK, limit: 1}, notes)),
        echo=await known(echo(heard, notes)),
        prefix_continuation=await known(asks.prefix()),
        token_ids=None if ids is None else bool(ids),
        token_prompt=await known(token_prompt(heard, ids or list(ANY_IDS))),
        json_schema=await known(asks.json_schema()),
        tools=await known(asks.tools()),
    )
    if heard.thoughts:
        notes.append(f"{THINKS}, and those tokens are hidden: its answers cannot be read token by token.")
    notes += unsure(heard.unanswered)
    return replace(found, notes=tuple(notes), versions=tuple(heard.versions), unanswered=heard.unanswered)


def unsure(unanswered: int) -> list[str]:
    """The note on calls that brought no answer."""
    if not unanswered:
        return []
    calls = "A call" if unanswered == 1 else f"{unanswered} calls"
    return [f"{calls} of this look brought no answer: what could not be seen is asked anew by the next command."]


class _Heard:
    """A `Post` that remembers what the server says answered."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.versions: list[str] = []
        self.thoughts = False  # some answer was thought over in tokens of its own
        self.unanswered = 0

    async def __call__(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        status, data = await self.post(path, body)
        chat = path == "chat/completions"
        self.unanswered += status in AWAY or (chat and status == 200 and data is None)  # a body that breaks off
        if status == 200 and isinstance(data, dict) and chat:
            names = (data.get("model"), data.get("system_fingerprint"))
            if version := served(*(name if isinstance(name, str) else None for name in names)):
                self.versions = [v for v in self.versions if v != version] + [version]
            self.thoughts |= thought_over(data)
        return status, data


async def _limit_key(post: Post, notes: list[str]) -> str | None:
    """The name under which the server takes a length limit; None if it answers to no plain call at all."""
    said, refused = "", False
    for key in ("max_tokens", "max_completion_tokens"):
        status, data = await post("chat/completions", {"messages": ASK, key: MOST_TOKENS})
        if status == 200 and _choices(data):
            if refused:
                notes.append("It wants max_completion_tokens instead of max_tokens in the program's params.")
            return key
        said, refused = said or _why(status, data), status not in AWAY
    notes.append(f"{FAILED}, so nothing else was tried: {said}.")
    return None


class _Asks:
    """One method per capability, each a call or a few; sentences go to `notes`."""

    def __init__(self, post: Post, limit: str, notes: list[str]) -> None:
        self.post, self.limit, self.notes = post, limit, notes
        self.most = 0  # how many alternatives are asked for, once it is known

    async def chat(self, **more: Any) -> tuple[list[dict[str, Any]], str]:
        """Choices of one call (empty if it failed), and why it failed."""
        status, data = await self.post("chat/completions", {"messages": ASK, self.limit: MOST_TOKENS, **more})
        choices = _choices(data) if status == 200 else []
        return choices, "" if choices else _why(status, data)

    async def n(self) -> bool:
        choices, why = await self.chat(n=2)
        if len(choices) != 2:
            self.notes.append(f"Several completions in one call (n) do not work: {why or 'one came back'}.")
        return len(choices) == 2

    async def seed(self) -> bool:
        """Same seed twice must agree, and of four other seeds one must differ."""
        texts = []
        for seed in (7, 7, 8, 9, 10, 11):
            # A small model may be certain of how every answer begins, so the answer must be long enough to part.
            choices, why = await self.chat(seed=seed, **{self.limit: 32})
            if not choices:
                self.notes.append(f"A seed is refused: {why}.")
                return False
            texts.append(_text(choices[0]))
        if texts[0] != texts[1]:
            self.notes.append("A seed is taken, but the same seed gave two answers: runs cannot be repeated exactly.")
            return False
        if len(set(texts)) == 1:
            self.notes.append("Five seeds gave the same answer: a seed has no visible effect here.")
            return False
        return True

    async def temperature(self) -> bool:
        choices, why = await self.chat(temperature=1)
        if choices:
            choices, why = await self.chat(temperature=0.3)
        if not choices:
            self.notes.append(f"A temperature is refused: {why}.")
        return bool(choices)

    async def logprobs(self) -> int:
        """How many alternatives per token come back when 20, 5 or 1 are asked for."""
        why = ""
        for asked in (20, 5, 1):
            choices, why = await self.chat(logprobs=True, top_logprobs=asked)
            found = _most_alternatives(choices[0]) if choices else 0
            if found:
                self.most = asked
                return found
        self.notes.append(f"No token probabilities: {why or 'they are asked for, but none come back'}.")
        return 0

    async def prefix(self) -> bool:
        """Whether a last message of the assistant is continued rather than answered.

        Only sure signs count: the answer repeats the prefix (llama.cpp), or the server understands
        `continue_final_message` (vLLM), which shows in that it refuses it beside its opposite.
        """
        messages = (*ASK, {"role": "assistant", "content": PREFIX})
        choices, why = await self.chat(messages=messages)
        if choices and _text(choices[0]).startswith(PREFIX):
            return True
        asked, _ = await self.chat(messages=messages, continue_final_message=True, add_generation_prompt=False)
        # A server that passes over keys that it does not know takes this pair and the next alike.
        if asked:
            both, _ = await self.chat(messages=messages, continue_final_message=True, add_generation_prompt=True)
            if not both:
                self.notes.append("A prefix is continued when `continue_final_message: true` is sent along.")
                return True
        self.notes.append(f"{REFUSED} not continued{f': {why}' if why else ''}.")
        return False

    async def first_at(self, temperature: float) -> Mapping[str, float]:
        """The alternatives of the answer's first token at this temperature."""
        choices, _ = await self.chat(logprobs=True, top_logprobs=self.most, temperature=temperature)
        return first_alternatives(choices[0]) if choices else {}

    async def token_ids(self) -> list[int]:
        """The ids of a token, as the server shows them; none where it does not.

        llama.cpp's /completion takes and gives token ids; vLLM has return_token_ids.
        """
        status, data = await self.post("/completion", {"prompt": "a", "n_predict": 1, "return_tokens": True})
        tokens = data.get("tokens") if status == 200 and isinstance(data, dict) else None
        if isinstance(tokens, list) and tokens and all(isinstance(t, int) for t in tokens):
            return tokens
        choices, _ = await self.chat(return_token_ids=True)
        shown = choices[0].get("token_ids") if choices else None
        if isinstance(shown, list) and shown and all(isinstance(t, int) for t in shown):
            return shown[:4]
        self.notes.append("Token ids are not shown, so a text can only be continued where the server cuts it.")
        return []

    async def json_schema(self) -> bool:
        form = {"type": "json_schema", "json_schema": {"name": "ok", "strict": True, "schema": SCHEMA}}
        ok, why = False, ""
        for _ in range(SCHEMA_TRIES):  # a small model may fill the whole answer with white space, which JSON allows
            choices, why = await self.chat(response_format=form, **{self.limit: 100})
            try:
                ok = bool(choices) and isinstance(json.loads(_text(choices[0]))["ok"], bool)
            except (ValueError, KeyError, TypeError):
                ok = False
            if ok or not choices:
                break
        if not ok:
            self.notes.append(f"A JSON schema is not enforced: {why or 'the answer does not follow it'}.")
        return ok

    async def tools(self) -> bool:
        choices, why = await self.chat(tools=[TOOL], tool_choice="required", **{self.limit: 60})
        ok = bool(choices) and bool(_message(choices[0]).get("tool_calls"))
        if not ok:
            self.notes.append(f"Tools are not called: {why or 'a required call did not come'}.")
        return ok


def _choices(data: Any) -> list[dict[str, Any]]:
    found = data.get("choices") if isinstance(data, dict) else None
    return [c for c in found if isinstance(c, dict)] if isinstance(found, list) else []


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


def _text(choice: Mapping[str, Any]) -> str:
    text = _message(choice).get("content")
    return text if isinstance(text, str) else ""


def _most_alternatives(choice: Mapping[str, Any]) -> int:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens = content if isinstance(content, list) else []
    return max((len(t.get("top_logprobs") or ()) for t in tokens if isinstance(t, dict)), default=0)


def _why(status: int, data: Any) -> str:
    """The server's reason in a few words."""
    if status == 0:
        return "no answer came"
    error = data.get("error", data) if isinstance(data, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    words = " ".join(str(message).split())[:160].rstrip(".") if message else "without a reason"
    return f"http {status}, {words}" if status != 200 else words
