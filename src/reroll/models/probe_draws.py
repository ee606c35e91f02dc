"""What a model can do, found by a few cheap draws: for wires that have another protocol than chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.errors import RerollError
from reroll.models.model import Capabilities, Draw, Model
from reroll.models.probe import (
    ANY_IDS,
    ASK,
    AWAY,
    FAILED,
    MOST_TOKENS,
    PREFIX,
    REFUSED,
    SCHEMA,
    SCHEMA_TRIES,
    THINKS,
    TOOL,
    unsure,
)
from reroll.models.probe_tokens import Post, echo, logprobs_mode, post_sampling, prompt_logprobs, token_prompt
from reroll.models.thoughts import thought_in
from reroll.program import Request
from reroll.sample import Completion, served

__all__ = ["probe_draws"]


async def probe_draws(
    model: Model,
    *,
    can: Sequence[str] = (),
    cannot: Mapping[str, str],
    notes: Sequence[str] = (),
    least: int = 0,
    post: Post | None = None,
) -> Capabilities:
    """The capabilities of a model. A refusal is a False with a sentence in `notes`, never an exception.

    can: what the protocol has by its nature; cannot: what it lacks, each with its sentence; both are not
    tried. least: the fewest tokens that the server takes as a limit. post: sends a body to a path, where the server
    has completions of a plain text.
    """
    asks = _Draws(model, max(least, MOST_TOKENS), list(notes), post)
    plain, why = await asks.ask()
    if plain is None:
        return Capabilities(notes=(f"{FAILED}, so nothing else was tried: {why}.",))
    tried = {
        "n": asks.n,
        "seed": asks.seed,
        "temperature": asks.temperature,
        "logprobs": asks.logprobs,
        "logprobs_mode": asks.logprobs_mode,
        "post_sampling": asks.post_sampling,
        "prompt_logprobs": asks.prompt_logprobs,
        "echo": asks.echo,
        "prefix_continuation": asks.prefix,
        "token_ids": asks.untried,
        "token_prompt": asks.token_prompt,
        "json_schema": asks.json_schema,
        "tools": asks.tools,
    }
    found: dict[str, Any] = {}
    for name, ask in tried.items():
        if name in can:
            found[name] = True
        elif name in cannot:
            found[name] = 0 if name == "logprobs" else False
            asks.notes.append(cannot[name])
        else:
            before, said = asks.unanswered, len(asks.notes)
            found[name] = await ask()
            if asks.unanswered > before and not found[name]:
                found[name] = None
                del asks.notes[said:]
    if asks.thoughts:
        asks.notes.append(f"{THINKS}, and those tokens are hidden: its answers cannot be read token by token.")
    asks.notes += unsure(asks.unanswered)
    return Capabilities(**found, notes=tuple(asks.notes), versions=tuple(asks.versions), unanswered=asks.unanswered)


class _Draws:
    """One method per capability, each a draw or a few; sentences go to `notes`."""

    def __init__(self, model: Model, limit: int, notes: list[str], post: Post | None = None) -> None:
        self.model, self.limit, self.notes, self.post = model, limit, notes, post
        self.most = 0  # how many alternatives are asked for, once it is known
        self.siblings = 0  # how many others came with the last completion
        self.versions: list[str] = []
        self.thoughts = False  # some answer was thought over in tokens of its own
        self.unanswered = 0

    async def ask(
        self, *extra: Mapping[str, Any], seed: int | None = None, **params: Any
    ) -> tuple[Completion | None, str]:
        """The completion of one draw, None if it failed, and why it failed."""
        body = {"messages": [*ASK, *extra], "max_tokens": self.limit, **params}
        try:
            sample = await self.model.draw(Draw(Request(self.model.name, None, body), "probe", 0, seed))
        except RerollError as problem:
            return None, str(problem)
        away = sample.attempts and (sample.attempts[-1].status or 0) in AWAY
        self.unanswered += bool(sample.completion is None and away)
        self.siblings = sum(one.completion is not None for one in sample.siblings)
        if version := served(sample.model, sample.fingerprint):
            self.versions = [v for v in self.versions if v != version] + [version]
        self.thoughts |= thought_in(sample.raw)
        said = " ".join((sample.error or "").split())[:200].rstrip(".")
        return sample.completion, said.replace(": ", ", ", 1)

    async def untried(self) -> None:
        return None

    async def n(self) -> bool:
        completion, why = await self.ask(n=2)
        if completion is None or self.siblings != 1:
            self.notes.append(f"Several completions in one call (n) do not work: {why or 'one came back'}.")
            return False
        return True

    async def logprobs_mode(self) -> str | None:
        return await logprobs_mode(self.first_at, self.notes) if self.most > 1 else None

    async def first_at(self, temperature: float) -> Mapping[str, float]:
        """The alternatives of the answer's first token at this temperature."""
        completion, _ = await self.ask(logprobs=True, top_logprobs=self.most, temperature=temperature)
        return dict(completion.tokens[0].top) if completion and completion.tokens else {}

    async def post_sampling(self) -> bool | None:
        return None if self.post is None else await post_sampling(self.post)

    async def prompt_logprobs(self) -> bool | None:
        return None if self.post is None else await prompt_logprobs(self.post, None, self.notes)

    async def echo(self) -> bool | None:
        return None if self.post is None else await echo(self.post, self.notes)

    async def token_prompt(self) -> bool | None:
        return None if self.post is None else await token_prompt(self.post, list(ANY_IDS))

    async def seed(self) -> bool:
        """Same seed twice must agree, and of four other seeds one must differ."""
        texts = []
        for seed in (7, 7, 8, 9, 10, 11):
            completion, why = await self.ask(seed=seed)
            if completion is None:
                self.notes.append(f"A seed is refused: {why}.")
                return False
            texts.append(completion.text)
        if texts[0] != texts[1] or len(set(texts)) == 1:
            self.notes.append("A seed is taken, but does not do what a seed does.")
            return False
        return True

    async def temperature(self) -> bool:
        for value in (1, 0.3):
            completion, why = await self.ask(temperature=value)
            if completion is None:
                self.notes.append(f"A temperature is refused: {why}.")
                return False
        return True

    async def logprobs(self) -> int:
        why = ""
        for asked in (20, 5, 1):
            completion, why = await self.ask(logprobs=True, top_logprobs=asked)
            found = max((len(t.top) for t in completion.tokens), default=0) if completion else 0
            if found:
                self.most = asked
                return found
        self.notes.append(f"No token probabilities: {why or 'they are asked for, but none come back'}.")
        return 0

    async def prefix(self) -> bool:
        completion, why = await self.ask({"role": "assistant", "content": PREFIX})
        if completion is None:
            self.notes.append(f"{REFUSED} refused: {why}.")
        return completion is not None

    async def json_schema(self) -> bool:
        form = {"type": "json_schema", "json_schema": {"name": "ok", "strict": True, "schema": SCHEMA}}
        why = ""
        for _ in range(SCHEMA_TRIES):
            completion, why = await self.ask(response_format=form, max_tokens=100)
            if completion is None:
                break
            try:
                if isinstance(json.loads(completion.text)["ok"], bool):
                    return True
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        self.notes.append(f"A JSON schema is not enforced: {why or 'the answer does not follow it'}.")
        return False

    async def tools(self) -> bool:
        completion, why = await self.ask(tools=[TOOL], tool_choice="required", max_tokens=100)
        if completion is None or not completion.tool_calls:
            self.notes.append(f"Tools are not called: {why or 'a required call did not come'}.")
            return False
        return True
