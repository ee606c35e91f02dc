"""One recorded call of a file into a program that sends its request again, and what is not known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reroll.errors import FileError, UsageError
from reroll.intake.addressing import KINDS, UNKNOWN_MODEL, model_ref
from reroll.intake.bodies import joined, messages_of, request_text, tools_of
from reroll.intake.casing import params_of, place
from reroll.intake.formats import read_files
from reroll.intake.taken import FIDELITY_WORDS, Evaluated, Skipped, Taken
from reroll.keys import is_loopback, is_vendors
from reroll.match import clean
from reroll.numbers import counts
from reroll.params import bad_param
from reroll.program import Program, Request
from reroll.store import StoredSample

__all__ = ["Served", "Single", "single_call", "single_stored"]

JSON = Any
STORED = "It is sent as it was stored: what the trace or log did not keep of it is not known."
NAMED, SHOWN = 10, 40  # calls of a file that are listed, and how many characters of each
FAMILY: Mapping[str, str] = {**{kind: api for api, kind in KINDS.items()}, "gguf": "chat", "bundled": "chat"}


@dataclass(frozen=True, slots=True)
class Single:
    """The program that sends the request again, and sentences on how exactly it is known."""

    program: Program
    taken: Taken
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """The model that somebody here named, and its address if it is not the vendor's; None: nobody did."""

    model: str | None = None
    base_url: str | None = None
    whole: bool = False  # without an address it is the vendor's, never the report's


def single_call(path: Path, served: Served = Served()) -> Single:
    """The call of a file that holds one, or number N of FILE#N; without a model, to the one that it names.

    Raises: FileError, UsageError where there is none, are several, nothing says which model, or the file alone says
    where it is.
    """
    taken = _one_turn(_chosen(path))
    named, place = model_ref(taken)
    here = place is not None and is_loopback(urlsplit(place).hostname or "")
    return _single(taken, named, place, path, _stem(path), served, place if here else None)


def single_stored(
    stored: StoredSample,
    request: Request,
    served: Served = Served(),
) -> Single:
    """The call of a sample that came from recorded traffic; without a model, to the one that it names.

    Raises: UsageError where nothing says which model, or the traffic alone says where it is: whoever may send traces
    must not be able to say where calls go, and with them a key.
    """
    named, place = request.model, request.base_url
    sent = {"model": named.partition(":")[2], **request.body}
    taken = Taken("stored", stored.id, sent, "partly", completion=stored.sample.completion, guessed=(STORED,))
    found = _single(taken, named, place, stored.id, stored.id, served, None)
    model = served.model
    other = [f"It was recorded on {named}, and is sent to {model} here."] if model not in (None, named) else []
    return replace(found, caveats=(*found.caveats, *other))


def _single(
    taken: Taken, named: str, place: str | None, where: object, name: str, served: Served, trusted: str | None
) -> Single:
    """trusted: the place, where it may be called though only the report names it."""
    model = served.model or (None if named == UNKNOWN_MODEL else named)
    if model is None:
        raise UsageError(f"{where} names no model; say which with --model, such as openai:NAME", slug="no-model")
    text, left = _text(taken, model)
    address = served.base_url
    elsewhere: list[str] = []
    if address is None and place is not None and model == named:
        if served.whole:
            elsewhere = [f"It was recorded at {place}, and is sent to the project's model where the project has it."]
        elif place == trusted or is_vendors(place):
            address = place
        else:
            raise UsageError(
                f"only {where} says that calls go to {place}, and a key would go there with them; if that is right, "
                f"say so with --base-url {place}",
                slug="reported-address",
            )
    program = Program(
        program=name,
        model=model,
        base_url=address if model.startswith(("openai", "anthropic")) else None,
        raw=text,
    )
    left += elsewhere
    caveats = [] if taken.fidelity == "exact" else [f"Of the request that was reported, {_words(taken)}."]
    return Single(program, taken, (*caveats, *taken.guessed, *left))


def _one_turn(taken: Taken) -> Taken:
    """Of a whole conversation its last turn that was answered, since it was no single call."""
    if not taken.whole:
        return taken
    placed = place(taken, -1)
    if isinstance(placed, Skipped):
        raise FileError(Path(placed.where), f"the conversation {placed.why}", slug="import-file")
    system = [{"role": "system", "content": placed.system}] if placed.system else []
    messages = [*system, *placed.history, {"role": "user", "content": placed.request}]
    note = "The file holds a whole conversation: the request is its last turn that was answered."
    return replace(
        taken,
        body={**taken.body, "messages": messages},
        completion=placed.answered,
        whole=False,
        guessed=(*taken.guessed, note),
    )


def _words(taken: Taken) -> str:
    return FIDELITY_WORDS[taken.fidelity]


def _stem(path: Path) -> str:
    name = path.name.partition("#")[0]
    return clean(Path(name).stem) or "request"


def _chosen(path: Path) -> Taken:
    name, _, number = str(path).partition("#")
    wanted = int(number) if number.isdecimal() and len(number) < 10 else None
    if number and not wanted:
        raise UsageError(f"write {name}#2 for the second call of the file, got #{number}", slug="which-call")
    kept: Taken | None = None
    count, why, first_ones = 0, Counter[str](), list[str]()
    for one in read_files([Path(name)]):
        if isinstance(one, Skipped):
            why[f"{one.where} {one.why}"] += 1
            continue
        if isinstance(one, Evaluated):
            continue
        count += 1
        if count <= NAMED and wanted is None:
            first_ones.append(f"#{count} {_asked(one)}")
        if wanted in (None, count):
            kept = kept or one
        if count == wanted:
            break
    if kept is None:
        first = f": {next(iter(why))}" if why else ""
        if count:
            raise FileError(Path(name), f"holds only {counts('call', count)}", slug="which-call")
        raise FileError(Path(name), f"no call of a model was found in it{first}", slug="import-file")
    if wanted is None and count > 1:
        these = ", ".join(first_ones) + (", …" if count > NAMED else "")
        raise UsageError(
            f"{name} holds {count} calls; name one by its number, as in {name}#1: {these}", slug="which-call"
        )
    return kept


def _asked(taken: Taken) -> str:
    """The beginning of what the user said last, in quotation marks."""
    said = [joined(m.get("content")) for m in messages_of(taken.body, taken.api) if m.get("role") == "user"]
    words = " ".join(clean(said[-1]).split()) if said else ""
    return f"“{words if len(words) <= SHOWN else words[: SHOWN - 1] + '…'}”"


def _text(taken: Taken, model: str) -> tuple[str, list[str]]:
    """The text to send, and what was left out of it: as it was sent where the model is served by that kind of API."""
    kind = model.partition(":")[0]
    same = FAMILY.get(kind, "chat") == taken.api
    if same and taken.fidelity == "exact":
        return taken.raw or request_text(taken.body), []
    params, left = {}, []
    for key, value in {**params_of(taken), **({"seed": taken.body["seed"]} if "seed" in taken.body else {})}.items():
        if problem := bad_param(model, key, value):
            left.append(f"The parameter `{key}` was left out: it {problem}.")
        else:
            params[key] = value
    if same and taken.api != "chat":
        kept = {k: v for k, v in taken.body.items() if k in params or k not in params_of(taken)}
        return request_text(kept), left
    tools = tools_of(taken.body)
    name = {"model": model.partition(":")[2]} if ":" in model else {}
    messages = messages_of(taken.body, taken.api)
    return request_text({**name, "messages": messages, **params, **({"tools": tools} if tools else {})}), left
