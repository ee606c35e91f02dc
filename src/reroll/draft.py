"""One case's request taken apart, so that any of its parts can be changed, and put together again."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reroll.fillers import sentences
from reroll.program import Example, Program, Request, fill

__all__ = ["Draft", "Pieces", "draft_of"]

JSON = Any
ANSWERING = ("user", "assistant")


@dataclass(slots=True)
class Pieces:
    """A text in pieces that can be taken out or replaced; one that is gone takes the space before it along.

    >>> said = Pieces.of("One. Two.  Three.")
    >>> said.put(1, None)
    >>> str(said)
    'One.  Three.'
    """

    before: list[str]  # what stands before each piece, and after the last one
    texts: list[str | None]

    @classmethod
    def of(cls, text: str) -> Pieces:
        """The sentences of a text."""
        spans = sentences(text)
        edges = [0, *(edge for span in spans for edge in span), len(text)]
        return cls([text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)], [text[a:b] for a, b in spans])

    def put(self, at: int, text: str | None) -> None:
        """The piece says this from now on; None: it is gone."""
        self.texts[at] = text

    def __str__(self) -> str:
        kept = [k for k, text in enumerate(self.texts) if text is not None]
        said = [(self.before[k] if n else self.before[0]) + str(self.texts[k]) for n, k in enumerate(kept)]
        return "".join(said or [self.before[0]]) + (self.before[-1] if self.texts else "")


@dataclass(slots=True)
class Draft:
    """A request's parts by name, each to be changed in place; `request` puts them together.

    system, documents: text by name, in order; None: gone. user: the last message in its sentences. history: earlier
    turns, the program's, then the case's. schema: of the answer. inputs: of a product.
    """

    program: Program
    system: dict[str, str | None]
    sentences: Pieces | None  # of a system message that is one text; then `system` stays empty
    documents: dict[str, str | None]
    examples: list[Example]
    history: list[dict[str, JSON]]
    user: Pieces
    schema: dict[str, JSON] | None
    tools: list[dict[str, JSON]]
    params: dict[str, JSON]
    model: str
    inputs: dict[str, JSON] = field(default_factory=dict)
    said: dict[str, Pieces] = field(default_factory=dict)  # the inputs of a product that are texts
    body: dict[str, JSON] | None = None  # of a stored request: all its keys
    first: int = 0  # of a stored request: which message is the first after the system message
    chat: bool = True  # whether a stored request has messages whose texts can be changed

    def request(self) -> Request:
        """What is sent."""
        if self.body is not None:
            stored = self._stored(self.body)
            # As the request itself: exact bytes, in whatever shape its wire takes.
            return Request(self.model, self.program.base_url, stored, json.dumps(stored, ensure_ascii=False))
        if self.program.is_product:
            changed = self.program.model_copy(
                update={"params": self.params, "model": self.model, "history": tuple(self.history)}
            )
            return changed.render(self.inputs | {name: str(text) for name, text in self.said.items()})
        system: JSON = {k: v for k, v in self.system.items() if v is not None}
        if self.sentences is not None:
            system = str(self.sentences)
        user = str(self.user).replace("{", "{{").replace("}", "}}")
        changed = self.program.model_copy(
            update={
                "system": system,
                "documents": {k: v for k, v in self.documents.items() if v is not None},
                "examples": tuple(self.examples),
                "history": tuple(self.history),
                "user": user,
                "response": self.schema,
                "tools": tuple(self.tools),
                "params": self.params,
                "model": self.model,
            }
        )
        return changed.render({})

    def _stored(self, body: dict[str, JSON]) -> dict[str, JSON]:
        """The stored request with what was changed in it."""
        out = {
            k: v for k, v in body.items() if k in self.params or k in ("messages", "tools", "response_format", "system")
        }
        out |= self.params
        if self.model != self.program.model:
            out["model"] = self.model.partition(":")[2]
        if not self.chat:
            return out
        messages = [dict(m) for m in body["messages"]]
        said = str(self.sentences) if self.sentences is not None else ""
        if self.first:
            messages[0]["content"] = said
        elif self.sentences is not None:
            out["system"] = said
        for k, turn in enumerate(self.history):
            messages[self.first + k] = turn
        messages[-1] = {**messages[-1], "content": str(self.user)}
        out["messages"] = messages if said or not self.first else messages[1:]
        if self.tools:
            out["tools"] = self.tools
        if self.schema is not None:
            out["response_format"] = copy.deepcopy(body["response_format"])
            out["response_format"]["json_schema"]["schema"] = self.schema
        return out


def draft_of(program: Program, inputs: Mapping[str, JSON], history: tuple[Mapping[str, JSON], ...] = ()) -> Draft:
    """The request of one case in parts. Raises: UsageError for a missing input.

    A stored request that is no chat, or whose last message is no text, has no parts but its parameters.
    """
    turns = [dict(m) for m in (*program.history, *history)]
    plain: dict[str, JSON] = {
        "program": program,
        "documents": dict(program.documents),
        "examples": list(program.examples),
        "schema": copy.deepcopy(program.response),
        "tools": copy.deepcopy([dict(t) for t in program.tools]),
        "params": dict(program.params),
        "model": program.model,
    }
    if program.raw is not None:
        return _of_stored(plain, json.loads(program.raw))
    if program.is_product:
        given = copy.deepcopy(dict(inputs))
        said = {name: Pieces.of(text) for name, text in given.items() if isinstance(text, str)}
        user = Pieces.of("")
        return Draft(**plain, system={}, sentences=None, history=turns, user=user, inputs=given, said=said)
    one_text = isinstance(program.system, str)
    return Draft(
        **plain,
        system={} if one_text else dict(program.clauses()),
        sentences=Pieces.of(program.system.strip()) if isinstance(program.system, str) else None,
        history=turns,
        user=Pieces.of(fill(program.user, inputs)),
    )


def _of_stored(plain: dict[str, JSON], body: dict[str, JSON]) -> Draft:
    """A stored request: a chat whose last message is a text of the user is taken apart, others only in parameters."""
    messages: list[dict[str, JSON]] = body["messages"] if _is_chat(body.get("messages")) else []
    first = int(bool(messages) and messages[0].get("role") in ("system", "developer") and _says(messages[0]))
    shape, tools = body.get("response_format"), body.get("tools")
    held_in = shape.get("json_schema") if messages and isinstance(shape, dict) else None
    schema = held_in.get("schema") if isinstance(held_in, dict) else None
    held = {"messages", "tools", "response_format", "system"} if messages else {"messages"}
    own = body.get("system")  # where a wire has a place of its own for it
    said = messages[0]["content"] if first else own if messages and isinstance(own, str) else None
    plain |= {
        "params": {k: v for k, v in body.items() if k not in held},
        "schema": copy.deepcopy(schema) if isinstance(schema, dict) else None,
        "tools": copy.deepcopy(tools) if messages and isinstance(tools, list) and _are_tools(tools) else [],
    }
    return Draft(
        **plain,
        system={},
        sentences=None if said is None else Pieces.of(said),
        history=[dict(m) for m in messages[first:-1]],
        user=Pieces.of(messages[-1]["content"] if messages else ""),
        body=body,
        first=first,
        chat=bool(messages),
    )


def _are_tools(tools: list[JSON]) -> bool:
    return all(isinstance(tool, dict) and isinstance(tool.get("function", tool), dict) for tool in tools)


def _is_chat(messages: JSON) -> bool:
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        return False
    return messages[-1].get("role") == "user" and _says(messages[-1])


def _says(message: Mapping[str, JSON]) -> bool:
    return isinstance(message.get("content"), str)
