"""A completion gone on with from its first tokens, by token ids where the server takes them: how forks are drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reroll.errors import ModelError
from reroll.models.completions import CompletionsModel
from reroll.models.endpoint import EndpointModel
from reroll.models.http_wire import HttpModel
from reroll.models.local import LocalModel
from reroll.models.model import Capabilities, Draw, Model
from reroll.models.openai import OpenAIModel
from reroll.models.probe import REFUSED, THINKS
from reroll.program import Request
from reroll.sample import Completion, Sample, Token, Usage

__all__ = ["Continuer", "Tier", "open_continuer", "scored_as"]

Tier = Literal["A", "B", "C", "D"]
AtOnce = Literal["prompt_logprobs", "echo"]  # how a server scores all tokens of a given text in one call

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}  # vLLM and SGLang want to be told
SAME = 1e-3  # nats; one token's probability, told twice in one answer, differs by no more
SPACES = " \u2581\u0120"  # as vocabularies of pieces and of bytes write the space before a word
# What a chat endpoint does besides sampling tokens; going on from tokens leaves it out, so that programs with
# these keys are not read token by token.
NOT_BY_TOKENS = (
    "tools",
    "tool_choice",
    "functions",
    "reasoning_effort",
    "response_format",
    "best_of",
    "logit_bias",
)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a prefix is handed over: the prompt's token ids, or (None) as a last message of the assistant.

    flags: keys that tell a chat server to go on with the last message, where it wants to be told.
    """

    prompt: tuple[int, ...] | None
    flags: bool = False


class Continuer:
    """One request, gone on with from any beginning of a completion.

    `tier` A: probabilities and prefixes; B: prefixes only; C: probabilities only; D: neither. `exact`: prefixes go as
    token ids, so that nothing is cut anew at the seam. `why` says in one sentence what is missing, if anything is.
    Programs whose text is made of more than its tokens (tools, hidden reasoning) are C or D at best.
    """

    def __init__(
        self,
        request: Request,
        wire: HttpModel,
        way: _Way | None,
        tier: Tier,
        top: int,
        why: str,
        scores: AtOnce | None = None,
    ) -> None:
        self.request, self.tier, self.top, self.why = request, tier, top, why
        self._scores = scores
        self._wire, self._way = wire, way
        self._plain = wire.over(CompletionsModel) if way is not None and way.prompt is not None else wire

    @property
    def exact(self) -> bool:
        return self._way is not None and self._way.prompt is not None

    @property
    def scores_prompts(self) -> bool:
        """Whether one call is enough to score a text, unless its answer does not line up with what was asked."""
        return self._scores is not None and self.exact

    @property
    def limit(self) -> int | None:
        """Tokens after which a completion of this request is cut; None: as many as the server likes."""
        limit = self.request.body.get("max_completion_tokens", self.request.body.get("max_tokens"))
        return None if limit is None else int(limit)

    def request_after(self, prefix: Sequence[Token], *, greedy: bool = False, most: int | None = None) -> Request:
        """The very request that `go_on` sends; its id names the place where such draws are stored."""
        body = {key: value for key, value in self.request.body.items() if key != "n"}
        body.pop("max_tokens", None)
        body.pop("max_completion_tokens", None)
        left = None if self.limit is None else max(1, self.limit - len(prefix))
        if most is not None:
            left = most if left is None else min(left, most)
        if left is not None:
            body["max_tokens"] = left
        if greedy:
            body["temperature"] = 0
        if self.exact:
            assert self._way is not None
            assert self._way.prompt is not None
            del body["messages"]
            body.pop("top_logprobs", None)
            body["prompt"] = [*self._way.prompt, *(_id(t) for t in prefix)]
            body["logprobs"] = self.top
        else:
            if prefix:
                said = {"role": "assistant", "content": "".join(t.text for t in prefix)}
                body["messages"] = [*body["messages"], said]
                body |= CONTINUE if self._way is not None and self._way.flags else {}
            if self.top:
                body |= {"logprobs": True, "top_logprobs": self.top}
        return Request(self.request.model, self.request.base_url, body)

    async def go_on(
        self,
        prefix: Sequence[Token] = (),
        *,
        greedy: bool = False,
        seed: int | None = None,
        most: int | None = None,
        case_id: str = "",
    ) -> Sample:
        """One whole completion that begins with these tokens: its text and tokens are the prefix and what came after.

        greedy: at temperature 0; most: at most so many new tokens. Server's failures are samples with an error, as
        in `Model.draw`. Its usage counts new tokens only.
        """
        if self._way is None:
            raise ModelError(self.why, slug="no-prefix")
        if self.exact and self.limit is not None and len(prefix) >= self.limit:  # nothing is left to ask for
            text = await self.spelling("".join(t.text for t in prefix), prefix)
            return Sample(completion=Completion(text, "length", tokens=tuple(prefix)), usage=Usage(0, 0, 0.0))
        draw = Draw(self.request_after(prefix, greedy=greedy, most=most), case_id, 0, seed)
        sample = await self._plain.draw(draw)
        if sample.completion is None or not prefix:
            return sample
        return replace(sample, completion=await self._joined(prefix, sample.completion))

    async def _joined(self, prefix: Sequence[Token], new: Completion) -> Completion:
        tokens = (*prefix, *self._only_new(prefix, new))
        text = await self.spelling("".join(t.text for t in prefix) + new.text, tokens)
        return replace(new, text=text, tokens=tokens)

    async def spelling(self, text: str, tokens: Sequence[Token]) -> str:
        """What these tokens spell: their texts, or what the server says where a character is spread over some."""
        if self.exact and any("�" in t.text for t in tokens):  # a character that is spread over tokens
            return await self._spelt([_id(t) for t in tokens], text)
        return text

    def _only_new(self, prefix: Sequence[Token], new: Completion) -> tuple[Token, ...]:
        """The tokens of what was newly written: a server that repeats a text prefix may list its tokens, too."""
        before = "".join(t.text for t in prefix)
        if self.exact or "".join(t.text for t in new.tokens) != before + new.text:
            return new.tokens
        spelt, k = "", 0
        while k < len(new.tokens) and spelt != before:
            spelt, k = spelt + new.tokens[k].text, k + 1
        # A token over the seam is nobody's: without its tokens the completion still has its text.
        return new.tokens[k:] if spelt == before else ()

    async def _spelt(self, ids: Sequence[int], otherwise: str) -> str:
        """The text of these tokens, as the server spells it."""
        status, data = await self._wire.post("/detokenize", {"tokens": list(ids)})
        if status == 200 and isinstance(data, dict):
            for key in ("content", "prompt", "text"):  # llama.cpp, vLLM, SGLang
                if isinstance(data.get(key), str):
                    return str(data[key])
        return otherwise

    async def cut(self, text: str) -> tuple[Token, ...] | None:
        """A text as tokens with ids, as this server cuts it; None where it does not tell. No call is sampled.

        The tokens that a model wrote may be others with the same text: those are not known.
        """
        for body in (
            {"content": text, "add_special": False, "parse_special": False, "with_pieces": True},  # llama.cpp
            {"prompt": text, "add_special_tokens": False, "return_token_strs": True},  # vLLM
        ):
            status, data = await self._wire.post("/tokenize", body)
            if status == 200 and isinstance(data, dict) and (tokens := _cut(data)) is not None:
                return tokens
        return None

    async def score(
        self,
        tokens: Sequence[Token],
        *,
        first: int = 0,
        at_once: int = 8,
        case_id: str = "",
        tally: Callable[[Sample], None] = lambda sample: None,
    ) -> tuple[Token, ...]:
        """The same tokens with the probability that the server gives each of them after those before it.

        A token that the server does not list keeps logprob None: it is less likely than all that it lists. By a
        call per token (teacher forcing), or one call where the server scores prompts (`prompt_logprobs`, echo) and
        what comes back lines up with these tokens. first: the tokens before this place are left as they are;
        tally: is told of each call that was made. Raises: ModelError.
        """
        if self.tier != "A":
            raise ModelError(self.why, slug="no-prefix")
        if first >= len(tokens):
            return tuple(tokens)
        if self.scores_prompts and (scored := await self._score_at_once(tokens, first, case_id, tally)) is not None:
            return (*tokens[:first], *scored)
        gate = asyncio.Semaphore(at_once)

        async def one(k: int) -> Token:
            async with gate:
                sample = await self.go_on(tokens[:k], most=1, case_id=case_id)
            tally(sample)
            said = sample.completion
            if said is None or len(said.tokens) <= k:
                raise ModelError(
                    f"token {k + 1} could not be scored: {sample.error or 'none came back'}", slug="no-score"
                )
            return scored_as(tokens[k], said.tokens[k])

        return (*tokens[:first], *await asyncio.gather(*(one(k) for k in range(first, len(tokens)))))

    async def _score_at_once(
        self, tokens: Sequence[Token], first: int, case_id: str, tally: Callable[[Sample], None]
    ) -> tuple[Token, ...] | None:
        """The tokens from `first` on, scored by one call that has them all in its prompt; None where that fails.

        vLLM adds the rows of `prompt_logprobs`, by id, to an answer with echo too: those are read rather than texts.
        """
        assert self._way is not None
        assert self._way.prompt is not None
        request = self.request_after(tokens, most=1)
        more: dict[str, Any] = {"prompt_logprobs": self.top}
        if self._scores == "echo":
            more = {"echo": True, "temperature": 1}  # so that no server rescales what it lists; nothing is drawn
        sample = await self._plain.draw(Draw(replace(request, body={**request.body, **more}), case_id, 0))
        tally(sample)
        if sample.completion is None:
            return None
        rows = _prompt_rows(sample.raw) if sample.raw else None
        if rows is not None and len(rows) >= len(tokens):
            scored = zip(tokens, rows[len(rows) - len(tokens) :], strict=True)
            return tuple(_from_row(token, row) for token, row in scored)[first:]
        if self._scores == "echo":
            echoed = _from_echo(tokens, sample, len(self._way.prompt))
            return None if echoed is None else echoed[first:]
        return None


def _cut(data: Mapping[str, Any]) -> tuple[Token, ...] | None:
    found, texts = data.get("tokens"), data.get("token_strs")
    if not isinstance(found, list):
        return None
    if isinstance(texts, list) and len(texts) == len(found):
        found = [{"id": i, "piece": text} for i, text in zip(found, texts, strict=True)]
    if not found or not all(isinstance(one, dict) and isinstance(one.get("id"), int) for one in found):
        return None
    pieces = [one.get("piece") for one in found]  # llama.cpp gives the bytes of a piece that is no text
    return tuple(
        Token(piece if isinstance(piece, str) else "\ufffd", id=one["id"])
        for piece, one in zip(pieces, found, strict=True)
    )


def scored_as(token: Token, listed: Token) -> Token:
    """This token with the probability that it has in the list that came with another one at its place."""
    if token.id is not None and listed.id == token.id:
        logprob: float | None = listed.logprob
    elif token.id is not None and listed.top_ids:
        logprob = next((lp for (_, lp), i in zip(listed.top, listed.top_ids, strict=True) if i == token.id), None)
    else:
        logprob = next((lp for text, lp in listed.top if text == token.text), None)
        logprob = listed.logprob if logprob is None and listed.text == token.text else logprob
    return Token(token.text, logprob, listed.top, token.id, listed.top_ids)


def _id(token: Token) -> int:
    if token.id is None:
        raise ModelError(f"the token {token.text!r} came without an id, so it cannot be gone on from", slug="no-prefix")
    return token.id


def _prompt_rows(raw: str) -> list[Mapping[str, Any]] | None:
    """Per token of the prompt what could stand there, by id, of vLLM's answer; its first token has none."""
    data = json.loads(raw)
    choices = data.get("choices") if isinstance(data, dict) else None
    found = choices[0].get("prompt_logprobs") if isinstance(choices, list) and choices else None
    if not isinstance(found, list):
        return None
    return [row if isinstance(row, dict) else {} for row in found]


def _from_row(token: Token, row: Mapping[str, Any]) -> Token:
    listed = [(int(i), str(one.get("decoded_token") or ""), float(one["logprob"])) for i, one in row.items()]
    listed.sort(key=lambda one: -one[2])
    logprob = next((lp for i, _, lp in listed if i == token.id), None)
    return Token(token.text, logprob, tuple((t, lp) for _, t, lp in listed), token.id, tuple(i for i, _, _ in listed))


def _from_echo(tokens: Sequence[Token], sample: Sample, before: int) -> tuple[Token, ...] | None:
    """These tokens as the end of a prompt that came back, after so many others, with at most one that was new.

    None where it does not line up: another number of tokens, other texts, or no probabilities.
    """
    echoed = sample.completion.tokens if sample.completion is not None else ()
    counted, asked = sample.usage.prompt_tokens, before + len(tokens)
    if len(echoed) not in (asked, asked + 1) or (counted is not None and counted != asked):
        return None
    pairs = list(zip(tokens, echoed[before:asked], strict=True))
    if not all(listed.top for _, listed in pairs) or not _reads_alike(pairs):
        return None
    return tuple(_echoed(token, listed) for token, listed in pairs)


def _reads_alike(pairs: Sequence[tuple[Token, Token]]) -> bool:
    """Whether they are spelt alike, where they can be compared.

    Some servers spell a token by itself without its space, a part of a character in their own way, and the token that
    ends a completion or not. One of them must be comparable.
    """
    compared = [
        (mine.text.lstrip(SPACES), theirs.text.lstrip(SPACES))
        for mine, theirs in pairs
        if mine.text and "\ufffd" not in mine.text + theirs.text
    ]
    return bool(compared) and all(mine == theirs for mine, theirs in compared)


def _echoed(token: Token, listed: Token) -> Token:
    """The token with its own probability, which an echo gives beside a list that is keyed by text.

    Tokens that read alike share one key there. Where it has another token's probability, only what is likelier than
    that one is taken as listed, so that what is not listed stays less likely than what is.
    """
    own = listed.logprob
    top = sorted(
        ((token.text if text == listed.text else text, lp) for text, lp in listed.top), key=lambda one: -one[1]
    )
    same = next((lp for text, lp in top if text == token.text), None)
    if own is None:  # as `scored_as` has it: by its text in the list, or less likely than all that are listed
        own = same
    elif same is not None and abs(same - own) > SAME:
        top = [(text, lp) for text, lp in top if lp > same and text != token.text]
        top = sorted([*top, (token.text, own)], key=lambda one: -one[1]) if own > same else top
    return Token(token.text, own, tuple(top), token.id)


async def open_continuer(model: Model, request: Request, can: Capabilities) -> Continuer:
    """How this model goes on with a completion of this request, as far as it can; costs a few calls without sampling.

    `can`: what was probed of it. Raises: ModelError where the server is gone.
    """
    wire = await model.wire() if isinstance(model, LocalModel) else model
    if not isinstance(wire, HttpModel):
        return _without(request, wire, "D", _no_tokens(model))
    if isinstance(wire, EndpointModel):
        why = f"{request.model} is a product, and its answers are made of more than one model's tokens"
        return _without(request, wire, "D", why)
    top = min(can.logprobs or 0, 1000)
    extra = [key for key in NOT_BY_TOKENS if request.body.get(key)]
    if request.raw is not None or extra:
        reason = f"`{extra[0]}` is more than sampling tokens" if extra else "the request is kept as raw bytes"
        return _without(
            request, wire, "C" if top else "D", f"{model.name} cannot go on from a prefix here ({reason})", top
        )
    if any(note.startswith(THINKS) for note in can.notes):
        why = f"{model.name} thinks before it answers, and those tokens are hidden"
        return _without(request, wire, "C" if top else "D", why, top)
    if isinstance(wire, OpenAIModel) and top and can.token_prompt:
        ids = await prompt_ids(wire, request)
        if ids is not None:
            return Continuer(request, wire, _Way(ids), "A", top, "", _at_once(can, request))
    if can.prefix_continuation:
        tier: Tier = "A" if top else "B"
        why = "" if top else f"{model.name} gives no token probabilities"
        told = any("continue_final_message" in note for note in can.notes)
        return Continuer(request, wire, _Way(None, told), tier, top, why)
    said = next((note for note in can.notes if note.startswith(REFUSED)), "").partition(": ")[2].rstrip(".")
    why = f"{model.name} does not go on from a given beginning{f' ({said})' if said else ''}"
    return _without(request, wire, "C" if top else "D", why, top)


def _at_once(can: Capabilities, request: Request) -> AtOnce | None:
    if can.prompt_logprobs:
        return "prompt_logprobs"
    # An echo has the probabilities from before sampling. Where those of answers are from after it, the two are the
    # same only if nothing changes them between.
    changed = request.body.get("temperature") != 1 or any(request.body.get(key) for key in ("top_k", "min_p"))
    changed = changed or request.body.get("top_p", 1) != 1
    return "echo" if can.echo and not (can.logprobs_mode == "sampled" and changed) else None


def _no_tokens(model: Model) -> str:
    kind = model.name.partition(":")[0]
    if kind == "python":
        return f"{model.name} is a function of yours, and its answers are made of more than one model's tokens"
    if kind == "recorded":
        return f"{model.name} is a recording, which can be read but not asked anew"
    return f"{model.name} is no model whose tokens can be asked for"


def _without(request: Request, wire: Any, tier: Tier, why: str, top: int = 0) -> Continuer:
    return Continuer(request, wire, None, tier, top, why)


async def prompt_ids(wire: HttpModel, request: Request) -> tuple[int, ...] | None:
    """The token ids of this request's prompt, template and all; None where the server does not tell.

    llama.cpp writes the template out and cuts it; vLLM's /tokenize takes messages.
    """
    messages = request.body.get("messages")
    status, data = await wire.post("/apply-template", {"messages": messages})
    prompt = data.get("prompt") if status == 200 and isinstance(data, dict) else None
    if isinstance(prompt, str):
        status, data = await wire.post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    else:
        status, data = await wire.post("/tokenize", {"messages": messages, "add_generation_prompt": True})
    tokens = data.get("tokens") if status == 200 and isinstance(data, dict) else None
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, int) for t in tokens):
        return None
    return tuple(tokens)
