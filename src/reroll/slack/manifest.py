"""The manifest that makes the Slack app: what it may do, and nothing more."""

from __future__ import annotations

from typing import Any

__all__ = ["SHORTCUT", "manifest"]

SHORTCUT = "measure"
SCOPES = (
    "app_mentions:read",
    "channels:history",
    "chat:write",
    "chat:write.public",
    "commands",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
)
EVENTS = ("app_mention", "message.channels", "message.groups", "message.im")


def manifest(url: str | None = None) -> dict[str, Any]:
    """For Socket Mode; with the public address of this process, for HTTP."""
    place = {} if url is None else {"request_url": f"{url.rstrip('/')}/slack/events"}
    command = {"command": "/reroll", "description": "Measure how often an LLM call fails", "should_escape": True}
    return {
        "display_information": {
            "name": "reroll",
            "description": "Measures how often an LLM call fails, why, and what helps",
        },
        "features": {
            "app_home": {"messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
            "bot_user": {"display_name": "reroll", "always_online": True},
            "shortcuts": [
                {
                    "name": "Measure this",
                    "type": "message",
                    "callback_id": SHORTCUT,
                    "description": "Find out how often that happens",
                }
            ],
            "slash_commands": [
                {**command, "usage_hint": 'I tried "…" and it didn\'t work'}
                | ({} if url is None else {"url": place["request_url"]})
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {**place, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **place},
            "socket_mode_enabled": url is None,
            "org_deploy_enabled": False,
            "token_rotation_enabled": False,
        },
    }
