"""What Slack sends as one event of ours: who, where, which message, and only what is needed of what it says.

Tokens, reply addresses and triggers that come along are left out, so that no store ever holds one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reroll.slack.limits import words
from reroll.slack.manifest import SHORTCUT
from reroll.slack.said import most_words

__all__ = ["Arrived", "arrived"]

JSON = Any
SUBTYPES = (None, "thread_broadcast", "file_share")  # of messages that a person wrote; others are edits and notices


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event; `trigger` opens a form within three seconds and is never stored."""

    event_id: str
    channel: str
    ts: str
    kind: str
    body: Mapping[str, JSON]
    trigger: str = ""


def arrived(body: Mapping[str, JSON]) -> Arrived | None:
    """The event; None where it is nothing for us: what a program wrote, an edit, an event that nobody asked for.

    None too for what has not the form that Slack documents: it would come again and again if it were refused.
    """
    try:
        return _arrived(body)
    except (AttributeError, KeyError, TypeError):
        return None


def _arrived(body: Mapping[str, JSON]) -> Arrived | None:
    kind = body.get("type")
    if kind == "event_callback":
        return _event(body)
    if body.get("command"):
        return _command(body)
    if kind == "message_action" and body.get("callback_id") == SHORTCUT:
        return _shortcut(body)
    if kind == "block_actions":
        return _press(body)
    return _form(body) if kind == "view_submission" else None


def _event(body: Mapping[str, JSON]) -> Arrived | None:
    event = body.get("event") or {}
    kinds = {"app_mention": "mention", "message": "message"}
    kind = kinds.get(str(event.get("type")))
    written = event.get("user") and not event.get("bot_id") and event.get("subtype") in SUBTYPES
    if kind is None or not written:
        return None
    text, me = str(event.get("text") or ""), _me(body)
    private = event.get("channel_type") == "im"
    if kind == "message" and me and f"<@{me}" in text and not private:
        return None  # comes as a mention, too
    told = {
        "user": event["user"],
        "text": words(text, most_words),
        "thread": event.get("thread_ts") or event["ts"],
        "inside": "thread_ts" in event,
        "private": private,
    }
    return Arrived(str(body["event_id"]), event["channel"], event["ts"], kind, told)


def _me(body: Mapping[str, JSON]) -> str:
    there = body.get("authorizations") or [{}]
    return str(there[0].get("user_id") or "")


def _command(body: Mapping[str, JSON]) -> Arrived:
    trigger = str(body.get("trigger_id") or "")
    id = hashlib.sha256(trigger.encode()).hexdigest()[:32]
    told = {"user": body["user_id"], "text": words(str(body.get("text") or ""), most_words), "thread": ""}
    return Arrived(f"command:{id}", body["channel_id"], id, "command", told, trigger)


def _shortcut(body: Mapping[str, JSON]) -> Arrived:
    message = body.get("message") or {}
    at, user = str(body.get("action_ts") or body.get("trigger_id")), body["user"]["id"]
    told = {
        "user": user,
        "author": message.get("user") or user,
        "text": words(str(message.get("text") or ""), most_words),
        "thread": message.get("thread_ts") or message.get("ts") or body.get("message_ts") or "",
    }
    return Arrived(f"shortcut:{at}:{user}", body["channel"]["id"], at, "shortcut", told, str(body["trigger_id"]))


def _press(body: Mapping[str, JSON]) -> Arrived | None:
    action = next(iter(body.get("actions") or ()), None)
    if action is None or "value" not in action:
        return None
    at, user = str(action["action_ts"]), body["user"]["id"]
    told = {"user": user, "action": str(action["action_id"]), "value": str(action["value"])}
    channel = (body.get("channel") or body.get("container") or {}).get("id") or ""
    return Arrived(f"press:{at}:{user}", channel, at, "press", told, str(body.get("trigger_id") or ""))


def _form(body: Mapping[str, JSON]) -> Arrived | None:
    view = body.get("view") or {}
    try:
        carried = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return None
    fields = {}
    for block in (view.get("state") or {}).get("values", {}).values():
        for name, given in block.items():
            chosen = given.get("selected_option") or {}
            fields[name] = words(str(given.get("value") or chosen.get("value") or ""), most_words)
    told = {"user": body["user"]["id"], "form": view.get("callback_id"), "carried": carried, "fields": fields}
    return Arrived(f"form:{view['id']}", str(carried.get("channel") or ""), str(view["id"]), "form", told)
