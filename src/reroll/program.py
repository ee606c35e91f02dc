"""Everything that decides an output: a program, its parts, and the request that it renders to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from reroll.errors import UsageError
from reroll.sample import function_of

__all__ = [
    "FORMS",
    "PLACEHOLDER",
    "SENTENCE",
    "Endpoint",
    "Example",
    "Part",
    "Program",
    "Request",
    "canonical",
    "content_id",
    "describe_fields",
    "fill",
    "fill_all",
    "ordered",
    "same_kind",
]

# How a program names its model.
FORMS = (
    "bundled",
    "gguf:PATH",
    "openai:NAME",
    "openai-responses:NAME",
    "openai-completions:NAME",
    "anthropic:NAME",
    "python:module:function",
    "http:URL",
    "recorded:FILE",
)

JSON = Any  # what json.loads returns

# What does not change the output, and so is no part of a program's identity.
NOT_OUTPUT = {
    "program",
    "effects",
    "neutral",
    "alternatives",
    "replicas",
    "target",
    "reference_rate",
    "prevalence",
    "margin",
}

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
# A sentence ends at .!? before white space; the white space stays with it, so joining is exact.
SENTENCE = re.compile(r"(?<=[.!?])\s+")


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode  # made once, it is slow


def canonical(value: JSON) -> str:
    """The one JSON text of a value: sorted keys, no spaces, so that equal values have equal text.

    The order of keys inside `response` and message lists matters to a model, so callers turn
    ordered mappings whose order counts into lists of pairs first (see `Program.content`).
    """
    return CANONICAL(value)


def content_id(prefix: str, value: JSON) -> str:
    """An id that is the content: `prefix:16 hex digits` of BLAKE2b over the canonical JSON.

    >>> content_id("c1", {"b": 1, "a": 2}) == content_id("c1", {"a": 2, "b": 1})
    True
    """
    return f"{prefix}:{hashlib.blake2b(canonical(value).encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def ordered(value: JSON) -> JSON:
    """The same value with every mapping as a list of pairs: order becomes content."""
    if isinstance(value, Mapping):
        return [[k, ordered(v)] for k, v in value.items()]
    return [ordered(v) for v in value] if isinstance(value, list | tuple) else value


def fill(template: str, values: Mapping[str, JSON], where: str = "user") -> str:
    """The template with each {name} replaced by its value; `{{` and `}}` stand for braces.

    Raises: UsageError naming the missing input and those that exist.

    >>> fill("Hi {who}, {{ok}}", {"who": "Ana"})
    'Hi Ana, {ok}'
    """

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)[0]
        if name not in values:
            known = ", ".join(sorted(values)) or "none"
            raise UsageError(
                f"the template `{where}` needs an input named `{name}`, and the case gives: {known}; "
                f"add it to the case's `input` or pass --input {name}=..., or write {{{{{name}}}}} for literal braces",
                slug="missing-input",
            )
        value = values[name]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return PLACEHOLDER.sub(one, template)


def fill_all(template: JSON, values: Mapping[str, JSON], where: str) -> JSON:
    """A value with `fill` applied to every text in it; a text that is one {name} alone becomes its value as it is.

    >>> fill_all({"to": ["{who}"], "note": "for {n}", "n": "{n}"}, {"who": "Ana", "n": 2}, "body")
    {'to': ['Ana'], 'note': 'for 2', 'n': 2}
    """
    if isinstance(template, Mapping):
        return {key: fill_all(inner, values, f"{where}.{key}") for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [fill_all(inner, values, f"{where}.{i}") for i, inner in enumerate(template, 1)]
    if not isinstance(template, str):
        return template
    alone = PLACEHOLDER.fullmatch(template)
    name = str(alone.group(1)) if alone else ""
    return values[name] if name in values else fill(template, values, where)


def _type_words(schema: Mapping[str, JSON]) -> str:
    """A property's type as a reader would say it: `string, date`, `array of string`, `one of 30, 60`."""
    if not isinstance(schema, Mapping):  # JSON Schema knows `true`, which says nothing
        return ""
    if "enum" in schema:
        return "one of " + ", ".join(v if isinstance(v, str) else json.dumps(v) for v in schema["enum"])
    kind = schema.get("type", "")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array" and (item := _type_words(schema.get("items", {}))):
        words += f" of {item}"
    return ", ".join(w for w in (words, schema.get("format", "")) if w)


def describe_fields(response: Mapping[str, JSON]) -> str:
    """A JSON Schema object as the text block that a prompt shows: a line per property, in order.

    >>> print(describe_fields({"properties": {"date": {"type": "string", "description": "ISO date"}, "who": {}}}))
    Fields:
    - date (string): ISO date
    - who
    """
    lines = ["Fields:"]
    for name, schema in response.get("properties", {}).items():
        words, about = _type_words(schema), schema.get("description", "") if isinstance(schema, Mapping) else ""
        lines.append(f"- {name}{f' ({words})' if words else ''}{f': {about}' if about else ''}")
    return "\n".join(lines)


class Example(BaseModel):
    """One few-shot example, sent as a user and an assistant message before the real request."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(description="Its name as a part: examples.NAME.")
    user: str = Field(description="What the user says.")
    assistant: str = Field(description="What the assistant answers.")


class Endpoint(BaseModel):
    """What is sent to a product at an address of its own, and where its answer holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    body: JSON = Field(None, description="The body, {names} are the case's inputs; default: the inputs themselves.")
    text: str | None = Field(
        None, pattern="^(/.*)?$", description="JSON pointer to the answer's text; default: the whole body."
    )


def same_kind(program: Program, name: str) -> str:
    """Another model as the program would name it: a bare name is a model of the same kind.

    >>> same_kind(Program(program="p", model="openai:new"), "llama3:8b"), same_kind(Program(program="p"), "gguf:x")
    ('openai:llama3:8b', 'gguf:x')
    """
    kind, colon, _ = program.model.partition(":")
    known = {form.partition(":")[0] for form in FORMS}
    return f"{kind}:{name}" if colon and name.partition(":")[0] not in known else name


@dataclass(frozen=True, slots=True)
class Part:
    """The smallest named piece of a program or input that can be blamed or changed."""

    id: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it will be sent: `body` in the shape of OpenAI chat completions, model left out.

    For `python:` it holds `input`, `params` and `history`, for `http:` the `body` and the pointer `text`.
    `raw` holds the exact text where the program is a stored request; the wire then sends it as is.
    """

    model: str
    base_url: str | None
    body: Mapping[str, JSON]
    raw: str | None = None

    def id(self, model_identity: str) -> str:
        """Content id of this request to this very model (name, address, weights): the unit of repeating."""
        return content_id("r1", [model_identity, ordered(self.body), self.raw])


class Program(BaseModel):
    """Everything that decides the output, as the file `program.yaml` states it.

    `structured` says how the model learns of `response`: `enforce` sends it as the API's
    response_format, `describe` writes its fields into the system message, `both` does both,
    `off` neither: then only checks know it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    program: str = Field(description="A name for this program, shown in answers.")
    model: str = Field("bundled", description="bundled, gguf:PATH, openai:NAME, recorded:FILE, ...")
    base_url: str | None = Field(None, description="For openai: and anthropic:, where, if not the vendor's.")
    params: dict[str, JSON] = Field(default_factory=dict, description="Sampling parameters as the API takes them.")
    effects: Literal["none", "sandbox", "real"] | None = Field(None, description="What a call does to the world.")
    system: dict[str, str] | str | None = Field(None, description="Named clauses, or one string split at sentences.")
    documents: dict[str, str] = Field(default_factory=dict, description="Texts that the system message holds, by name.")
    examples: tuple[Example, ...] = Field((), description="Few-shot examples, before the request.")
    history: tuple[dict[str, JSON], ...] = Field((), description="Earlier turns, as messages.")
    tools: tuple[dict[str, JSON], ...] = Field((), description="As the API takes them.")
    user: str = Field("{request}", description="{names} are the case's inputs.")
    response: dict[str, JSON] | None = Field(None, description="JSON Schema of the answer; order is kept.")
    structured: Literal["enforce", "describe", "both", "off"] = Field(
        "enforce", description="How `response` is asked for: by the API, in words, both, or not at all."
    )
    http: Endpoint | None = Field(None, description="For http: what is sent, and where the answer's text is.")
    steps: tuple[dict[str, JSON], ...] = Field((), description="What product code does around the model.")
    raw: str | None = Field(None, description="File with the exact bytes of a request, instead of message keys.")
    neutral: dict[str, str] = Field(default_factory=dict, description="What stands in for a part when it is screened.")
    alternatives: dict[str, list[JSON]] = Field(
        default_factory=dict, description="Other levels of a part, such as an older model or temperature 0."
    )
    replicas: dict[str, dict[str, JSON]] = Field(default_factory=dict, description="Where the same model is served.")
    target: float | None = Field(None, gt=0, lt=1, description="The success rate to certify, e.g. 0.99.")
    reference_rate: float | None = Field(None, gt=0, lt=1, description="Usual failure rate; default: control cases.")
    prevalence: float | None = Field(None, ge=0, le=1, description="Share of traffic that is like the case.")
    margin: float | None = Field(None, ge=0.001, le=0.5, description="A rise of the failure rate that is harm.")

    @field_validator("examples")
    @classmethod
    def _names_differ(cls, examples: tuple[Example, ...]) -> tuple[Example, ...]:
        names = [e.name for e in examples]
        if len(set(names)) != len(names):
            raise ValueError("two examples have the same name; every example needs its own")
        return examples

    @property
    def runs_here(self) -> bool:
        """Whether its model runs on this machine, so that its calls cost nothing."""
        return self.model.partition(":")[0] in ("bundled", "gguf")

    @property
    def content(self) -> JSON:
        """What the identity covers: all that can change an output, order included."""
        found = self.model_dump(exclude=NOT_OUTPUT, exclude_defaults=True)
        return ordered({**found, "params": dict(sorted(self.params.items()))} if self.params else found)

    @property
    def id(self) -> str:
        """Content id: equal programs are one, whoever wrote them; renaming changes nothing."""
        return content_id("p1", self.content)

    def clauses(self) -> dict[str, str]:
        """System clauses by name; a single string is split into sentences named 1, 2, 3, ..."""
        if isinstance(self.system, str):
            return {str(i): s for i, s in enumerate(SENTENCE.split(self.system.strip()), 1) if s}
        return dict(self.system or {})

    def system_text(self) -> str:
        """The system message: clauses, documents, then the described fields, a line each."""
        lines = [self.system.strip()] if isinstance(self.system, str) else list((self.system or {}).values())
        lines += [f"Document {name}: {text}" for name, text in self.documents.items()]
        if self.response and self.structured in ("describe", "both"):
            lines.append(describe_fields(self.response))
        return "\n".join(line for line in lines if line)

    def messages(self, inputs: Mapping[str, JSON], history: tuple[Mapping[str, JSON], ...] = ()) -> list[JSON]:
        """The messages of one call: system, examples as turns, history, the filled user template."""
        out: list[JSON] = [{"role": "system", "content": text}] if (text := self.system_text()) else []
        for example in self.examples:
            out.append({"role": "user", "content": example.user})
            out.append({"role": "assistant", "content": example.assistant})
        out += [dict(m) for m in (*self.history, *history)]
        out.append({"role": "user", "content": fill(self.user, inputs)})
        return out

    def render(self, inputs: Mapping[str, JSON], history: tuple[Mapping[str, JSON], ...] = ()) -> Request:
        """The request of one case. Raises: UsageError for a missing input."""
        if self.raw is not None:
            return Request(self.model, self.base_url, json.loads(self.raw), self.raw)
        if self.is_product:
            return Request(self.model, self.base_url, self._product_body(inputs, history))
        body: dict[str, JSON] = {"messages": self.messages(inputs, history)}
        body |= sorted(self.params.items())  # their order changes nothing, so it must not change the request's id
        if self.tools:
            body["tools"] = [dict(t) for t in self.tools]
        if self.response and self.structured in ("enforce", "both"):
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "response", "strict": True, "schema": self.response},
            }
        return Request(self.model, self.base_url, body)

    @property
    def sampling(self) -> Mapping[str, JSON]:
        """The keys of the request that are no messages: `params`, or all that a stored request says."""
        return self.params if self.raw is None else dict(json.loads(self.raw))

    @property
    def is_product(self) -> bool:
        """Whether the model is the product itself, which gets the inputs as they are and no messages."""
        return self.model.partition(":")[0] in ("python", "http")

    def _product_body(self, inputs: Mapping[str, JSON], history: tuple[Mapping[str, JSON], ...]) -> dict[str, JSON]:
        if self.model.startswith("http"):
            http = self.http or Endpoint()
            sent = dict(inputs) if http.body is None else fill_all(http.body, inputs, "http.body")
            return {"body": sent} | ({} if http.text is None else {"text": http.text})
        if both := sorted(inputs.keys() & self.params.keys()):
            raise UsageError(
                f"`{both[0]}` is both in `params` and in the case's input, and the function takes it once; rename one",
                slug="bad-input",
            )
        turns = [dict(m) for m in (*self.history, *history)]
        body: dict[str, JSON] = {"input": dict(inputs)}
        return (
            body
            | ({"params": dict(sorted(self.params.items()))} if self.params else {})
            | ({"history": turns} if turns else {})
        )

    def parts(self, inputs: Mapping[str, JSON] | None = None) -> tuple[Part, ...]:
        """Every part that can be blamed or changed, in the order of the prompt (ids: DESIGN.md section 3)."""
        found = [Part(f"system.{n}", "clause", t) for n, t in self.clauses().items()]
        found += [Part(f"documents.{n}", "document", t) for n, t in self.documents.items()]
        for name, schema in (self.response or {}).get("properties", {}).items():
            found.append(Part(f"response.{name}.name", "name", name))
            if words := _type_words(schema):
                found.append(Part(f"response.{name}.type", "type", words))
            if isinstance(schema, Mapping) and (about := schema.get("description")):
                found.append(Part(f"response.{name}.description", "description", about))
        if len((self.response or {}).get("properties", {})) > 1:
            found.append(Part("response.order", "order", ", ".join((self.response or {})["properties"])))
        found += [Part(f"examples.{e.name}", "example", f"{e.user}\n{e.assistant}") for e in self.examples]
        if len(self.examples) > 1:
            found.append(Part("examples.order", "order", ", ".join(e.name for e in self.examples)))
        for tool in self.tools:
            said = function_of(tool)
            found.append(Part(f"tools.{said.get('name')}.description", "description", str(said.get("description", ""))))
        found += [Part(f"history.{i}", "message", canonical(m)) for i, m in enumerate(self.history, 1)]
        if inputs is not None and self.raw is None and not self.is_product:
            text = fill(self.user, inputs)
            found += [Part(f"user.{i}", "clause", s) for i, s in enumerate(SENTENCE.split(text), 1) if s]
        found += [Part(f"params.{k}", "parameter", canonical(v)) for k, v in self.params.items()]
        found.append(Part("model", "model", self.model))
        return tuple(found)
