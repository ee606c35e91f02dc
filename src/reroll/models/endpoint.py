"""`http:URL`: a product behind an address of its own; a body goes there, and a place in the answer is the text."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlunsplit

from reroll.errors import UsageError
from reroll.models.http_wire import HttpModel, split_address
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import Malformed, Parsed, load_json
from reroll.models.secrets import scrub
from reroll.models.wire import Reply
from reroll.sample import Completion

__all__ = ["EndpointModel", "at_pointer"]


class EndpointModel(HttpModel):
    """POSTs the body that the program's `http.body` makes of a case's inputs, as JSON.

    `http.text` is a JSON pointer to the text of the answer; without it the whole body is the text. A value
    there that is no text is the answer as JSON.
    """

    kind = "http"
    vendor = ""
    path = ""
    seeded = False

    def _address(self, base_url: str | None) -> str:
        """The URL as it is written. Raises: UsageError."""
        url = base_url or ""
        parts = split_address(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"`http:{scrub(url)}` is no address; write http:https://host/path, or http://host/path",
                slug="base-url",
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(
                "the address of an http: model may hold only scheme, host, port and path; put parameters into "
                "`http.body`, and give a key as environment variable REROLL_API_KEY",
                slug="base-url",
            )
        return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", "", ""))

    @property
    def priced(self) -> bool:
        """Never: what somebody's product costs a call, nobody knows."""
        return False

    def url(self) -> str:
        return self.base

    async def check(self) -> None:
        """Return at once: the only way to ask a product is to call it, which its first draw does."""

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        return request.raw.encode() if request.raw is not None else json.dumps(request.body.get("body")).encode()

    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        pointer = draw.request.body.get("text")
        if pointer is None and reply.content_type != "application/json":
            if reply.content_type == "text/html":
                raise Malformed("an HTML page; is this the address of the product's API?")
            return _parsed(reply.text)
        value = at_pointer(load_json(reply.body, reply.content_type), pointer or "")
        return _parsed(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    async def probe(self) -> Capabilities:
        """What a product can do is its own affair: nothing is called to find out."""
        return Capabilities(
            n=False,
            seed=False,
            logprobs=0,
            prefix_continuation=False,
            token_ids=False,
            notes=("A product behind an address is called as it is: its inputs are all that can be varied.",),
        )


def _parsed(text: str) -> Parsed:
    return Parsed(Completion(text), None, None, None, None, None, None)


def at_pointer(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to. Raises: Malformed saying what is there instead.

    >>> at_pointer({"answers": [{"text": "yes"}]}, "/answers/0/text")
    'yes'
    """
    here = value
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            found = f"keys {', '.join(map(str, list(here)[:8])) or 'none'}" if isinstance(here, dict) else "no keys"
            found = f"{len(here)} items" if isinstance(here, list) else found
            raise Malformed(f"nothing at `{pointer}`: at `{step}` there are {found}")
    return here
