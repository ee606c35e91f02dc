"""What a cause that was found suggests: the named part out, elsewhere or in other words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from reroll.answer import NamedFactor
from reroll.cause import BETTER
from reroll.check import Check
from reroll.describing import described, plain
from reroll.evidence import Est
from reroll.factors import LENGTHENED, LENGTHS, MILD, MOST_LENGTH, USUAL
from reroll.match import excerpt
from reroll.program import SENTENCE, same_kind
from reroll.suggestion import Material, Suggestion, make

__all__ = ["Ranked", "expectation", "from_cause", "from_suspects", "say"]

Ranked = tuple[float, Suggestion]
# How directly the finding supports a change; what answers alone suggest ranks below 80 (suggest_answers.py).
SHOWN, CLOSE, WEAKER = 100.0, 90.0, 84.0  # the very change that was shown to help; another of the same part; a guess
SUSPECTED = 20.0  # less, where the part is only suspected
LIKELY = 0.25  # probability from which a suspect is worth a try
WORD = re.compile(r"[^\W\d_]{4,}")


def from_cause(material: Material) -> Iterator[Ranked]:
    """Changes of what was named, the one that was shown to help first."""
    cause = material.cause
    if cause is None or cause.verdict != "systematic":
        return
    several = len(cause.factors) > 1
    if several and cause.logic == "and":
        yield from _conflict(material, cause.factors)
    for k, one in enumerate(cause.factors):
        note = ""
        if several and cause.logic == "or":
            note = "; the other parts that were named each do the same harm, so they must change too"
        for rank, found in _of(material, one, note):
            yield rank - k / 10, found


def from_suspects(material: Material) -> Iterator[Ranked]:
    """The same for what is likeliest by now, where nothing was decided; nothing is predicted of it."""
    cause = material.cause
    if cause is None or cause.verdict != "undecided":
        return
    texts = {part.id: part.text for part in material.program.parts(material.case.input)}
    for id, share in cause.suspects[:3]:
        if id not in texts or (share is not None and share < LIKELY):
            continue
        one = NamedFactor(id, "suspected", texts[id], Est(None, None, None, 0))
        for rank, found in _of(material, one, " (suspected, not shown)"):
            yield rank - SUSPECTED * (2 - (share or 0.5)), Suggestion(found.fix, found.because)


def expectation(material: Material) -> Iterator[Ranked]:
    """Where nothing in the request asks for what is checked: that it is asked for, as far as that is no answer."""
    cause = material.cause
    if cause is None or cause.verdict != "expectation":
        return
    why = "nothing in the request asks for what the check looks at, so it has to be said"
    for check in material.checks:
        if text := _requirement(check):
            yield SHOWN, make(f"ask for {check.name or check.kind}", "clause.add", "system.required", why, text=text)


def _requirement(check: Check) -> str:
    """What a check asks for without saying what the right answer is; empty where it does not tell."""
    value = check.value
    if check.kind == "all":
        return " ".join(filter(None, map(_requirement, value)))
    if check.kind == "schema" and isinstance(value, dict) and value.get("properties"):
        return f"Answer with one JSON object that has these keys: {', '.join(value['properties'])}."
    if check.kind == "json" and isinstance(value, dict) and value:
        return f"Answer with one JSON object that has these keys: {', '.join(value)}."
    return f"Call the tool {value['name']} where it applies." if check.kind == "tool_call" else ""


# ---------------------------------------------------------------- one part


def _of(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    root, _, rest = one.id.partition(".")
    kind = rest.rpartition(".")[2] if root == "response" else ""
    special = {"examples.order": _examples_order, "documents.order": _documents_order, "response.order": _fields_order}
    if one.id in special:
        yield from special[one.id](material, one, note)
    elif root == "response" and kind in FIELD:
        yield from FIELD[kind](material, one, note)
    elif root in OF:
        yield from OF[root](material, one, note)


def _clause(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    clauses = material.program.clauses()
    names = _members(one.id, list(clauses))
    for name in names:
        target, said = f"system.{name}", excerpt(clauses[name], 60)
        part = _part(clauses[name], one.words)
        if part:
            why = f"the words {excerpt(one.words, 60)} in it carry the failure{note}"
            yield SHOWN, make(f"shorten {target}", "clause.edit", target, why, one.effect, text=part)
        why = f"the instruction {said} carries the failure, and without it the case fails less often{note}"
        yield (CLOSE if part else SHOWN), make(f"delete {target}", "clause.delete", target, why, _alone(one, names))
        if rival := _rival(clauses, name):
            why = (
                f"the instructions {said} and {excerpt(clauses[rival], 60)} are about the same, and {name} harms{note}"
            )
            yield WEAKER, make(f"keep {rival}", "clause.deconflict", f"system.{rival}", why, over=[name])
        if len(clauses) > 1:
            place = "first" if list(clauses)[-1] == name else "last"
            why = f"the instruction {said} carries the failure, and may do its work without harm in another place{note}"
            yield CLOSE - 4, make(f"move {target}", "clause.move", target, why, at=place)


def _conflict(material: Material, factors: Sequence[NamedFactor]) -> Iterator[Ranked]:
    """Two instructions that only together do harm: either may go, and the other stay."""
    clauses = material.program.clauses()
    names = [one.id.partition(".")[2] for one in factors if one.id.startswith("system.")]
    names = [name for name in names if name in clauses]
    for keep in names if len(names) > 1 else ():
        over = [name for name in names if name != keep]
        effect = next(one.effect for one in factors if one.id == f"system.{over[0]}")
        why = f"only together with {_listed(over)} does {keep} make it fail, so one of them is enough"
        rank = SHOWN + 1 - names.index(keep) / 10
        yield rank, make(f"keep {keep}", "clause.deconflict", f"system.{keep}", why, effect, over=over)


def _example(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    names = [example.name for example in material.program.examples]
    for name in _members(one.id, names):
        why = f"the example {name} carries the failure, and without it the case fails less often{note}"
        yield SHOWN, make(f"remove {name}", "example.remove", f"examples.{name}", why, one.effect)
        if len(names) > 1 and names[0] != name:
            order = [name, *(other for other in names if other != name)]
            why = f"the example {name} carries the failure, and the last example counts most, so it goes first{note}"
            yield WEAKER, make(f"{name} first", "example.reorder", "examples.order", why, order=order)


def _examples_order(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    names = [example.name for example in material.program.examples]
    why = f"the order of the examples carries the failure, and turned round they did not{note}"
    yield from _turned(names, "turn examples", "example.reorder", "examples.order", why, one.effect)
    yield (
        CLOSE,
        make("balance examples", "example.balance", "examples", f"what the last examples answer weighs more{note}"),
    )


def _document(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    documents = material.program.documents
    for name in _members(one.id, list(documents)):
        sentences = [piece for piece in SENTENCE.split(documents[name].strip()) if piece]
        blamed = [k for k, piece in enumerate(sentences, 1) if _overlaps(piece, one.words)]
        kept = [k for k in range(1, len(sentences) + 1) if k not in blamed]
        if kept and blamed:
            why = f"the words {excerpt(one.words, 60)} in the document {name} carry the failure{note}"
            yield SHOWN, make(f"trim {name}", "document.trim", f"documents.{name}", why, one.effect, keep=kept)
        elif len(sentences) > 1:
            asked = " ".join(map(str, material.case.input.values()))
            common = [_common(piece, asked) for piece in sentences]
            best = [k for k, shared in enumerate(common, 1) if shared == max(common) and shared]
            if best and len(best) < len(sentences):
                why = f"the document {name} carries the failure, and only this of it is about such requests{note}"
                yield CLOSE, make(f"trim {name}", "document.trim", f"documents.{name}", why, keep=best)
        if len(documents) > 1:
            order = [name, *(other for other in documents if other != name)]
            if order == list(documents):
                order = [*order[1:], name]
            why = f"the document {name} carries the failure, and may harm less in another place{note}"
            yield WEAKER, make(f"reorder {name}", "document.reorder", "documents.order", why, order=order)


def _documents_order(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    why = f"the order of the documents carries the failure, and turned round they did not{note}"
    names = list(material.program.documents)
    yield from _turned(names, "turn documents", "document.reorder", "documents.order", why, one.effect)


def _fields_order(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    why = f"the order of the fields carries the failure, and turned round they did not{note}"
    names = list((material.program.response or {}).get("properties", {}))
    yield from _turned(names, "turn fields", "response.reorder", "response.order", why, one.effect)


def _description(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    field = one.id.removeprefix("response.").removesuffix(".description")
    text = say(material, field)
    seen = "this says what right answers have there" if text else "this says no more than its name"
    why = f"what is said of `{field}` carries the failure, and {seen}{note}"
    yield SHOWN, make(f"describe {field}", "field.describe", one.id, why, one.effect, text=text or plain(field))


def say(material: Material, field: str) -> str | None:
    """What right answers have at a field, in words; None where none was seen."""
    asked = " ".join(map(str, material.case.input.values()))
    pairs = [(value, asked) for value in material.values(material.passing, field)]
    for other in material.others:
        said = " ".join(map(str, other.case.input.values()))
        pairs += [(value, said) for value in material.values(other.passing, field)]
    if not pairs:
        return None
    return described(field, [v for v, _ in pairs], [said for _, said in pairs], material.fields.get(field, {}))


def _type(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    field = one.id.removeprefix("response.").removesuffix(".type")
    schema = material.fields.get(field)
    if schema is None:
        return
    bare = {key: value for key, value in schema.items() if key in ("type", "items", "properties", "description")}
    if bare != dict(schema):
        why = f"what narrows the type of `{field}` carries the failure, and without it the case fails less often{note}"
        yield SHOWN, make(f"loosen {field}", "type.narrow", one.id, why, one.effect, schema=bare)


def _name(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    field = one.id.removeprefix("response.").removesuffix(".name")
    if field not in material.fields:
        return
    about = str(material.fields[field].get("description") or "")
    words = [word.lower() for word in WORD.findall(about) if word.lower() not in field.lower()]
    number = f"value_{list(material.fields).index(field) + 1}"
    new = "_".join(words[:2]) if len(words) > 1 else number
    new = number if new in material.fields else new
    why = f"the name `{field}` carries the failure; the model reads another, and the answer still has the old one{note}"
    yield SHOWN, make(f"rename {field}", "field.rename", one.id, why, one.effect, text=new)


def _tool(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    name = one.id.removeprefix("tools.").removesuffix(".description")
    tools = [tool.get("function", tool) for tool in material.program.tools]
    about = next((str(tool.get("description") or "") for tool in tools if tool.get("name") == name), "")
    if part := _part(about, one.words):
        why = f"the words {excerpt(one.words, 60)} in the description of {name} carry the failure{note}"
        yield SHOWN, make(f"shorten {name}", "tool.describe", one.id, why, one.effect, text=part)


def _param(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    name = one.id.removeprefix("params.")
    value = material.program.sampling.get(name)
    if named := material.program.alternatives.get(f"params.{name}"):
        new = named[0]
    elif name in LENGTHS and isinstance(value, int | float):
        new = min(int(value) * LENGTHENED, max(int(value), MOST_LENGTH))
    elif name == "temperature":
        new = MILD
    elif name in USUAL:
        new = USUAL[name]
    else:
        return
    if new != value:
        told = "left out" if new is None else json.dumps(new, ensure_ascii=False)
        why = f"the setting {one.words} carries the failure; it is {told} instead{note}"
        yield SHOWN, make(f"{name} {told}", "params.set", one.id, why, one.effect, value=new)


def _model(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    for k, other in enumerate(material.program.alternatives.get("model", ())):
        name = same_kind(material.program, str(other))
        why = f"the model {material.program.model} carries the failure, and {name} was named as another{note}"
        effect = one.effect if k == 0 else None
        yield SHOWN - k, make(f"model {name}", "model.pin", "model", why, effect, text=name)


def _serving(material: Material, one: NamedFactor, note: str) -> Iterator[Ranked]:
    """A replica that works better can be pinned; what happens inside a server cannot be changed from here."""
    if one.id != "serving.replica":
        return
    better = one.words.endswith(BETTER)
    for name, replica in material.program.replicas.items():
        there = re.search(rf"\b{re.escape(name)}\b", one.words) is not None
        if isinstance(url := replica.get("base_url"), str) and there == better:
            why = f"how it is served carries the failure, and at the replica {name} it fails less often{note}"
            yield SHOWN, make(f"serve at {name}", "serving.pin", "base_url", why, one.effect, text=url)


# ---------------------------------------------------------------- small things


def _members(id: str, names: Sequence[str]) -> list[str]:
    """The names that an id stands for: one, `root.first..last`, or all of a kind."""
    rest = id.partition(".")[2]
    first, dots, last = rest.partition("..")
    if dots and first in names and last in names:
        return list(names[names.index(first) : names.index(last) + 1])
    return [rest] if rest in names else list(names) if id in ("examples", "documents") else []


def _alone(one: NamedFactor, names: Sequence[str]) -> Est | None:
    """What was measured holds for all of them together."""
    return one.effect if len(names) == 1 else None


def _part(text: str, words: str) -> str:
    """What is left of a text without the words that were named in it; empty where that is all of it, or not in it."""
    pieces = [piece for piece in words.rstrip("…").split(" … ") if piece]
    left = text
    for piece in pieces:
        if piece not in left:
            return ""
        left = left.replace(piece, " ", 1)
    left = re.sub(r"\s+([,;:.!?])", r"\1", " ".join(left.split()))
    left = re.sub(r"([,;:])[,;:]+", r"\1", left).strip(" ,;:")
    return left if len(WORD.findall(left)) > 1 else ""


def _overlaps(sentence: str, words: str) -> bool:
    """Whether what was named stands in this sentence, or this sentence in what was named."""
    wanted = " ".join(words.split()).rstrip("…").strip()
    said = " ".join(sentence.split())
    return bool(wanted) and (wanted in said or said in wanted)


def _common(one: str, other: str) -> int:
    return len({word.lower() for word in WORD.findall(one)} & {word.lower() for word in WORD.findall(other)})


def _rival(clauses: dict[str, str], name: str) -> str | None:
    """The clause that shares most words with this one, at least two; None where none does."""
    shared = {other: _common(text, clauses[name]) for other, text in clauses.items() if other != name}
    best = max(shared, key=lambda other: shared[other], default=None)
    return best if best is not None and shared[best] >= 2 else None


def _turned(names: list[str], name: str, kind: str, target: str, why: str, effect: Est | None) -> Iterator[Ranked]:
    half = len(names) // 2
    if half:
        yield SHOWN, make(name, kind, target, why, effect, order=[*names[half:], *names[:half]])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


Maker = Callable[[Material, NamedFactor, str], Iterator[Ranked]]
OF: dict[str, Maker] = {
    "system": _clause,
    "examples": _example,
    "documents": _document,
    "tools": _tool,
    "params": _param,
    "model": _model,
    "serving": _serving,
}
FIELD: dict[str, Maker] = {"description": _description, "type": _type, "name": _name}
