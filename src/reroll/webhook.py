"""Alarms to a webhook: signed, in order, again and again until it has them or a day is over.

Only the address in the project's own watch.yaml is ever called; a redirect is not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from reroll.store import Store
from reroll.store_watch import Post

__all__ = ["deliver", "signature"]

FIRST, LONGEST = 1.0, 600.0  # seconds between tries
PATIENCE = 86400.0  # seconds after which a message that never arrived is given up
TIMEOUT = aiohttp.ClientTimeout(total=10)
STALE = 60.0  # seconds after which a message that somebody was sending is taken up
PASSING = (408, 425, 429)  # refusals that may pass
TROUBLE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


def signature(secret: str, id: str, timestamp: str, body: bytes) -> str:
    """What the header x-reroll-signature says: HMAC-SHA256 over id, time and body, so that none can be changed.

    >>> signature("a secret of some length", "wa1:0:alarm", "1795780920", b"{}")[:12]
    'v1=8efae44b8'
    """
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def deliver(store: Store, name: str, url: str, secret: str) -> str:
    """Send what this watch has to say and is due, in order; why the last one did not arrive, "" if all did."""
    due = await asyncio.to_thread(store.posts_due, name)
    if not due:
        return ""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as client:
        for post in due:
            if not await asyncio.to_thread(store.claim_post, post.seq, STALE):
                return ""  # not yet due, or another process has it: what comes after it waits, too
            problem, again = await _send(client, post, url, secret)
            if not problem:
                await asyncio.to_thread(store.end_post, post.seq, "sent")
            elif again is None or time.time() - post.made_us / 1e6 > PATIENCE:
                await asyncio.to_thread(store.end_post, post.seq, "refused", problem)
            else:
                wait = again or min(LONGEST, FIRST * 2 ** min(post.tries, 16)) * random.uniform(0.75, 1.25)
                await asyncio.to_thread(store.retry_post, post.seq, wait, problem)
                return problem
    return problem


async def _send(client: aiohttp.ClientSession, post: Post, url: str, secret: str) -> tuple[str, float | None]:
    """Why it did not arrive ("" if it did), and after how many seconds again: 0 as usual, None never."""
    body = json.dumps(post.body, ensure_ascii=False).encode("utf-8", "replace")
    timestamp = str(int(time.time()))
    headers = {
        "content-type": "application/json",
        "x-reroll-id": post.key,
        "x-reroll-timestamp": timestamp,
        "x-reroll-signature": signature(secret, post.key, timestamp, body),
    }
    try:
        async with client.post(url, data=body, headers=headers, allow_redirects=False) as reply:
            return _said(reply.status, reply.headers)
    except TROUBLE as error:
        return f"the webhook cannot be reached ({type(error).__name__})", 0.0
    except ValueError:  # an address that passes for one, and is none
        return "the webhook's address cannot be called", None


def _said(status: int, headers: Mapping[str, Any]) -> tuple[str, float | None]:
    if 200 <= status < 300:
        return "", None
    problem = f"the webhook answered {status}"
    if status in PASSING or status >= 500:
        asked = str(headers.get("retry-after", ""))
        return problem, min(3600.0, float(asked)) if asked.isascii() and asked.isdecimal() else 0.0
    return problem, None
