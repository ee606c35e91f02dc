"""Signed words: links that open the pages once, cookies that keep them open, and marks in forms. Nothing is stored.

A signed word is `body.signature`; the signature is HMAC-SHA-256 of purpose and body under this place's secret
(RFC 2104), cut to 128 bits. Compared in constant time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["LINK_SECONDS", "SESSION_SECONDS", "Passes"]

LINK_SECONDS = 15 * 60
SESSION_SECONDS = 30 * 24 * 3600


class Passes:
    """What this place signed. Used links are remembered while they could be used again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def link(self, now: float) -> str:
        """A word for a link that opens the pages once, within a quarter of an hour."""
        return self._signed("link", {"n": secrets.token_urlsafe(9), "t": int(now)})

    def opens(self, word: str, now: float) -> bool:
        """Whether the link holds; it does not hold again."""
        body = self._body("link", word)
        if body is None or not 0 <= now - float(body["t"]) <= LINK_SECONDS:
            return False
        with self._lock:
            self._used = {n: t for n, t in self._used.items() if now - t <= LINK_SECONDS}
            if body["n"] in self._used:
                return False
            self._used[body["n"]] = float(body["t"])
        return True

    def session(self, now: float, name: str = "", token: str | None = None, of: str | None = None) -> str:
        """A cookie: who it is, and the id of the access token that let them in, if one did.

        of: the session that it goes on with, so that forms which are open in other windows stay valid.
        """
        return self._signed("session", {"n": of or secrets.token_urlsafe(9), "t": int(now), "who": name, "via": token})

    def read(self, cookie: str, now: float) -> Mapping[str, Any] | None:
        """What a cookie says, None where it is not ours or too old."""
        body = self._body("session", cookie)
        return body if body is not None and 0 <= now - float(body["t"]) + 60 <= SESSION_SECONDS else None

    def mark(self, session: str) -> str:
        """What a form must bring along to be from our own page."""
        return self._mac("form", session)

    def is_mark(self, session: str, given: str) -> bool:
        return hmac.compare_digest(self.mark(session).encode(), given.encode("utf-8", "replace"))

    def _signed(self, purpose: str, body: Mapping[str, Any]) -> str:
        plain = base64.urlsafe_b64encode(json.dumps(body, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{plain}.{self._mac(purpose, plain)}"

    def _body(self, purpose: str, word: str) -> Mapping[str, Any] | None:
        plain, _, given = word.partition(".")
        if not hmac.compare_digest(self._mac(purpose, plain).encode(), given.encode("utf-8", "replace")):
            return None
        body = json.loads(base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4)))
        return body if isinstance(body, Mapping) else None

    def _mac(self, purpose: str, text: str) -> str:
        whole = hmac.new(self._secret, f"{purpose}\0{text}".encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(whole[:16]).decode().rstrip("=")
