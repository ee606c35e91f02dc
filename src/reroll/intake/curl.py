"""A pasted `curl` command into the request that it sends; what is secret in its headers is never kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from reroll.intake.bodies import as_object, is_request
from reroll.intake.pairs import taken_from
from reroll.intake.taken import Format, Skipped, Taken, Value

__all__ = ["CURL"]

NAME = "curl"
DATA = ("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "--json")
# Options that are followed by a value which says nothing of the request's body.
VALUED = ("-H", "--header", "-X", "--request", "-o", "--output", "-u", "--user", "-A", "--user-agent", "-m",
          "--max-time", "--connect-timeout", "-x", "--proxy", "--cacert", "--cert", "--key", "-b", "--cookie",
          "-w", "--write-out", "--retry")  # fmt: skip


def _looks_like(first: Sequence[Any]) -> bool:
    return False  # it is no JSON: a file that begins with `curl` is given to this reader


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for one in values:
        yield _taken(one)


def _taken(one: Value) -> Taken | Skipped:
    text = (one.text or "").replace("\r\n", "\n").replace("\\\n", " ").replace("^\n", " ")
    try:
        words = shlex.split(text)
    except ValueError:
        return Skipped(NAME, one.where, "is a curl command that breaks off: a quotation mark is not closed")
    url, pieces = _url_and_data(words)
    if any(piece.startswith("@") for piece in pieces):
        return Skipped(NAME, one.where, "is a curl command that sends a file (`@…`); give the file itself")
    body = as_object("&".join(pieces))
    if body is None or not is_request(body):
        return Skipped(
            NAME, one.where, "is a curl command that sends no request to a model (its --data is no such body)"
        )
    taken = taken_from(NAME, one.where, body, url, None, False)
    return taken if taken.guessed or len(pieces) > 1 else replace(taken, raw=pieces[0])


def _url_and_data(words: Sequence[str]) -> tuple[str | None, list[str]]:
    url, data = None, []
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        if word in DATA:
            data.append(next(rest, ""))
        elif equals and name in DATA:
            data.append(value)
        elif word.startswith("-d") and len(word) > 2 and not word.startswith("--"):
            data.append(word[2:])
        elif word == "--url":
            url = next(rest, None)
        elif word in VALUED:
            next(rest, None)
        elif not word.startswith("-") and url is None:
            url = word
    return _without_secrets(url), data


def _without_secrets(url: str | None) -> str | None:
    """The address without its query and without a password: either may hold a key."""
    if url is None:
        return None
    scheme, slashes, rest = url.partition("?")[0].partition("://")
    if not slashes:
        return f"https://{scheme}" if "." in scheme else None
    return f"{scheme}://{rest.rpartition('@')[2]}"


CURL = Format(NAME, _looks_like, _read)
