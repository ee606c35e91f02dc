"""Everything in one case's request that could be the cause of its failures, and what stands in for each meanwhile.

A factor is a part of the program or of the case as it was sent (a clause, an example, an order, a field's description,
a parameter, the model), with at least one neutral level: taken out, where the messages stay well-formed; bland text
of about the same length and role; another order; the value that the program names.  The user's own `neutral` wins,
then the program's `alternatives`.  What cannot be made neutral is listed with the reason, not passed over in silence.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.draft import Draft, Pieces, draft_of
from reroll.factor import Factor, FactorClass, Factors, Level, Place
from reroll.fillers import STOCKS, Role, differing, filler, phrases, plainer, sentences
from reroll.match import excerpt
from reroll.neutral import loosened, neutral_request, text_at
from reroll.program import Program, same_kind

__all__ = ["LENGTHENED", "LENGTHS", "MILD", "MOST", "MOST_LENGTH", "USUAL", "factors_of", "inside"]

JSON = Any
MOST = 80  # factors that are screened at once; of more, neighbours in one text are taken together first
QUOTE = 160  # characters of a part that are quoted

# Places whose neighbours are taken together where there are too many parts.
GROUPED = frozenset("sentence user template input document system history example field type name tool".split())
# What a parameter is without the setting; None: left out of the request.
USUAL: dict[str, JSON] = {
    "stop": None,
    "frequency_penalty": None,
    "presence_penalty": None,
    "repetition_penalty": None,
    "repeat_penalty": None,
    "logit_bias": None,
    "top_p": 1,
    "top_k": None,
    "min_p": None,
    "typical_p": None,
}
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
LENGTHENED = 8  # times as long as reported, so that nothing is cut off
LEAST_LENGTH, MOST_LENGTH = 256, 4096  # tokens; more than the most is refused by some servers
# A temperature below this shows the likeliest answer only, which looks like a cure wherever failures are a minority.
COLD = 0.3
MILD = 0.7  # what stands in for a temperature above 1


def factors_of(
    program: Program,
    inputs: Mapping[str, JSON],
    history: tuple[Mapping[str, JSON], ...] = (),
    checked: str = "",
) -> Factors:
    """The factors of one case's request.

    Args:    checked: all that the case's checks say, as text: a field's name that they read cannot be changed.
    Raises:  UsageError: the program needs an input that the case does not give.
    """

    def sent(factor: Factor, level: Level) -> str:
        """What is sent at this level, to whichever model, by its id."""
        changed = neutral_request(program, inputs, history, [(replace(factor, levels=(level,)), 0)])
        return changed.id(changed.model)

    draft = draft_of(program, inputs, history)
    reported = program.render(inputs, history).id(program.model)
    found: list[Factor] = []
    left_out: list[tuple[str, str]] = []
    for factor in _all(draft, checked):
        own = _own(program, factor)
        if isinstance(own, tuple):
            factor, own = replace(factor, levels=own), None
        if isinstance(own, str):
            left_out.append((factor.id, own))
        elif factor.levels:
            real = tuple(level for level in factor.levels if sent(factor, level) != reported)
            if real:
                found.append(replace(factor, levels=real))
            else:
                left_out.append((factor.id, "changing it changes nothing that is sent"))
        else:
            left_out.append((factor.id, _why_not(factor)))
    if not draft.chat:
        left_out.append(("messages", "the last message is no text of the user, so only the parameters can be changed"))
    return Factors(_together(found), tuple(left_out))


def inside(
    program: Program, inputs: Mapping[str, JSON], history: tuple[Mapping[str, JSON], ...], factor: Factor
) -> tuple[Factor, ...]:
    """What a factor is made of: its members, the sentences of its text, or the phrases of its only sentence.

    Empty where it cannot be taken apart (orders, values, examples) or where the user said what stands in for it.
    """
    if factor.members:
        return factor.members
    if factor.id in program.neutral or factor.place[0] in ("example", "examples", "fields", "param", "model", "type"):
        return ()
    text = text_at(draft_of(program, inputs, history), factor.place)
    if text is None:
        return ()
    start, end = factor.span or (0, len(text))
    inner = text[start:end]
    spans = sentences(inner)
    if len(spans) < 2:
        spans = phrases(inner)
    if len(spans) < 2:
        return ()
    return tuple(
        replace(factor, words=inner[a:b], span=(start + a, start + b), levels=(Level("out"),)) for a, b in spans
    )


# ---------------------------------------------------------------- what there is


def _all(draft: Draft, checked: str) -> Iterator[Factor]:
    yield from _system(draft)
    for name, text in draft.documents.items():
        yield _text(f"documents.{name}", "context", ("document", name), text or "", "fact")
    yield from _order("documents.order", "context", ("documents",), list(draft.documents), "documents")
    yield from _fields(draft, checked)
    for example in draft.examples:
        said = f"{example.user} → {example.assistant}"
        yield Factor(f"examples.{example.name}", "few-shot", _quoted(said), ("example", example.name), (Level("out"),))
    yield from _order("examples.order", "few-shot", ("examples",), [e.name for e in draft.examples], "examples")
    for k, tool in enumerate(draft.tools):
        function = tool.get("function", tool)
        if about := function.get("description"):
            yield _text(f"tools.{function.get('name')}.description", "schema", ("tool", k), about, "description")
    for k, turn in enumerate(draft.history):
        yield replace(_turn(k, turn), shared=k < len(draft.program.history))
    yield from _user(draft)
    for name, value in draft.params.items():
        if name not in ("model", "messages", "stream", "n", "seed", "logprobs", "top_logprobs", "user", "metadata"):
            yield _param(name, value)
    yield Factor("model", "model", draft.model, ("model",), ())


def _system(draft: Draft) -> Iterator[Factor]:
    if draft.sentences is not None:
        for k, text in enumerate(draft.sentences.texts):
            yield _text(f"system.{k + 1}", "system", ("sentence", k), text or "", "instruction")
    for name, text in draft.system.items():
        yield _text(f"system.{name}", "system", ("system", name), text or "", "instruction")


def _user(draft: Draft) -> Iterator[Factor]:
    """The sentences of the case's own text; where there are few, the phrases of each."""
    if draft.program.is_product:
        for name, said in draft.said.items():
            yield from _own_text(draft.program, f"input.{name}", ("input", name), said)
        return
    yield from _own_text(draft.program, "user", ("user",), draft.user)


def _own_text(program: Program, id: str, place: Place, said: Pieces) -> Iterator[Factor]:
    texts = [text or "" for text in said.texts]
    if (easy := plainer(str(said))) != str(said):
        words = f"the wording: {differing(str(said), easy)}"
        yield Factor(f"{id}.wording", "user", words, ("wording", *place), (Level("text", easy),), shared=False)
    template = "" if program.raw is not None or program.is_product else program.user
    for k, text in enumerate(texts):
        if len(texts) > 1 and text in template:  # words of the program, around what the case brings
            yield _text(f"{id}.{k + 1}", "user", ("template", text), text, "request")
            continue
        whole = replace(_text(f"{id}.{k + 1}", "user", (*place, k), text, "request"), shared=False)
        yield whole if len(texts) > 1 else replace(whole, levels=whole.levels[1:])
        spans = phrases(text) if len(texts) < FEW_SENTENCES and whole.id not in program.neutral else []
        for a, b in spans if len(spans) > 1 else ():
            yield replace(whole, words=text[a:b], span=(a, b), levels=(Level("out"),), phrase=True)


FEW_SENTENCES = 3  # a request with fewer is looked at phrase by phrase, too: hardly any of it can be missed


def _fields(draft: Draft, checked: str) -> Iterator[Factor]:
    fields = (draft.schema or {}).get("properties")
    if not isinstance(fields, dict):
        return
    for k, (name, schema) in enumerate(fields.items(), 1):
        if not isinstance(schema, dict):
            continue
        yield _name(name, k, checked)
        if narrowing := loosened(schema, draft):
            words = f"the type of `{name}` ({_quoted(json.dumps(narrowing, ensure_ascii=False))})"
            yield Factor(f"response.{name}.type", "schema", words, ("type", name), (Level("bare"),))
        if isinstance(about := schema.get("description"), str) and about:
            yield _text(f"response.{name}.description", "schema", ("field", name), about, "description")
    yield from _order("response.order", "schema", ("fields",), list(fields), "fields of the answer")


def _name(name: str, k: int, checked: str) -> Factor:
    words = f"the name of the field `{name}`"
    # Code, and a schema, may read any field.
    free = name.lower() not in checked.lower() and not any(f'"{kind}"' in checked for kind in ("python", "schema"))
    levels = tuple(Level("text", f"{stem}_{k}") for stem in ("field", "item", "value")) if free else ()
    return Factor(f"response.{name}.name", "schema", words, ("name", name), levels)


def _text(id: str, cls: FactorClass, place: Place, text: str, role: Role) -> Factor:
    levels = [Level("out"), *(Level("text", filler(role, len(text), k)) for k in range(len(STOCKS[role])))]
    return Factor(id, cls, _quoted(text), place, tuple(levels))


def _turn(k: int, turn: Mapping[str, JSON]) -> Factor:
    """An earlier turn: it stays, so that the messages are well-formed, and says something bland."""
    text, role = turn.get("content"), turn.get("role")
    plain = isinstance(text, str) and role in ("user", "assistant", "system") and not turn.get("tool_calls")
    said = text if isinstance(text, str) else ""
    levels = [Level("text", filler("turn", len(said), n)) for n in range(len(STOCKS["turn"]))] if plain else []
    return Factor(f"history.{k + 1}", "context", _quoted(said), ("history", k), tuple(levels))


def _order(id: str, cls: FactorClass, place: Place, names: Sequence[str], what: str) -> Iterator[Factor]:
    """The order of these, if there are two, and other orders: turned round, so that each stands elsewhere."""
    if len(names) < 2:
        return
    # Turned by half, so that what stood in the middle comes first, or last: nothing stays where it was.
    turned = [(*names[k:], *names[:k]) for k in {len(names) // 2, len(names) // 2 + 1} if 0 < k < len(names)]
    orders = sorted(set(turned))
    yield Factor(id, cls, f"the order of the {what}", place, tuple(Level("order", order) for order in orders))


def _param(name: str, value: JSON) -> Factor:
    words = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    levels: tuple[Level, ...] = ()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in LENGTHS and number:
        longer = min(max(LEAST_LENGTH, int(value) * LENGTHENED), max(int(value), MOST_LENGTH))
        levels = (Level("value", longer),) if longer > value else ()
    elif name == "temperature" and number and value > 1:
        levels = (Level("value", MILD),)
    elif name in USUAL and value != USUAL[name]:
        levels = (Level("value", USUAL[name]),)
    return Factor(f"params.{name}", "decoding", words, ("param", name), levels)


def _own(program: Program, factor: Factor) -> tuple[Level, ...] | str | None:
    """The levels that the program itself names; why those it names cannot be used; None: it names none."""
    fixed = factor.place[0] in ("example", "examples", "documents", "fields", "name", "type")
    if factor.id in program.neutral and factor.span is None and not fixed:
        return (_said(program, factor, program.neutral[factor.id]),)
    named = program.alternatives.get(factor.id)
    if not named:
        return None
    if factor.id == "params.temperature":
        named = [v for v in named if not isinstance(v, int | float) or v >= COLD]
        if not named and not factor.levels:
            return (
                "a temperature near 0 shows the likeliest answer only, which looks like a cure; `reroll audit` has it"
            )
    if fixed:
        return None
    if factor.id == "model" and not all(isinstance(value, str) for value in named):
        return "`alternatives: {model: [...]}` names models, as text"
    return tuple(_said(program, factor, value) for value in named) or None


def _said(program: Program, factor: Factor, value: JSON) -> Level:
    if factor.place[0] == "model":
        return Level("value", same_kind(program, str(value)))
    if factor.place[0] == "param":
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        return Level("value", value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Level("text", text) if text else Level("out")


def _why_not(factor: Factor) -> str:
    reasons = {
        "model": "no other model is named (`alternatives: {model: [...]}`)",
        "name": "the checks read this name",
        "history": "a turn with tool calls, or without text, stays as it is",
    }
    if factor.id == "params.temperature":
        return "changing it changes how often anything rare is said; `reroll audit` has it"
    return reasons.get(
        str(factor.place[0]), "nothing is known to stand in for it; name it in `neutral` or `alternatives`"
    )


def _together(found: Sequence[Factor]) -> tuple[Factor, ...]:
    """The factors, with neighbours in one text taken together where there are too many to screen."""
    in_text = [f for f in found if f.place[0] in GROUPED]
    if len(found) <= MOST or not in_text:
        return tuple(found)
    size = -(-len(in_text) // max(1, MOST - (len(found) - len(in_text))))
    out: list[Factor] = []
    for _, group in itertools.groupby(found, key=lambda f: (f.cls, f.place[0], f in in_text)):
        same = list(group)
        if same[0] not in in_text:
            out += same
            continue
        for k in range(0, len(same), size):
            part = same[k : k + size]
            words = _quoted(" ".join(one.words for one in part))
            out.append(
                part[0]
                if len(part) == 1
                else replace(
                    part[0], id=f"{part[0].id}..{part[-1].id.rpartition('.')[2]}", words=words, members=tuple(part)
                )
            )
    return tuple(out)


def _quoted(text: str) -> str:
    """The words as an answer quotes them: on one line, not too long."""
    return excerpt(text, QUOTE)[1:-1]
