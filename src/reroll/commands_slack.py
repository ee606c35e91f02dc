"""The command of Slack: print the app's manifest, or answer Slack over HTTP or Socket Mode until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reroll.arguments import Common
from reroll.errors import UsageError
from reroll.opening import on_stop, project_of, store_of
from reroll.output import print_json
from reroll.serving import listening_at, run_app
from reroll.settings import setting
from reroll.slack.manifest import manifest
from reroll.web.home import Home

if TYPE_CHECKING:
    from reroll.slack.app import Office, Secrets

__all__ = ["answer_slack", "print_manifest"]

BOT, APP, SIGNING, API = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "REROLL_SLACK_API"


def print_manifest(url: str | None) -> int:
    print_json(manifest(_address(url, "--url")))
    return 0


def answer_slack(
    host: str,
    port: int | None,
    pages: str | None,
    caps: tuple[float | None, float | None],
    budget: int | None,
    common: Common,
) -> int:
    _installed()
    for cap in caps:
        if cap is not None and not 0 <= cap < float("inf"):
            raise UsageError(f"a cap is a sum of money, 0 or more, got {cap}", slug="slack-cap")
    from reroll.slack.app import Office
    from reroll.slack.desk import Caps

    told = _secrets(os.environ, port)
    pages = _address(pages, "--pages")
    project = project_of(common)
    with store_of(common, project) as store:
        home = Home(common.project, store, setting("store", common.store), budget=budget)

        def make() -> Office:
            return Office(home, told, Caps(*caps), pages)

        if port is None:
            from reroll.slack.app import socket_mode

            _until_ended(socket_mode(make))
        else:
            _serve(host, port, make)
    return 0


def _serve(host: str, port: int, make: Callable[[], Office]) -> None:
    from reroll.slack.app import on_http

    taken = listening_at(host, port)
    address = f"http://{host}:{taken.getsockname()[1]}/slack/events"
    run_app(on_http(make), taken, f"reroll answers Slack at {address}; Ctrl-C ends it, jobs go on.")


def _until_ended(work: Coroutine[Any, Any, None]) -> None:
    async def until() -> None:
        task = asyncio.create_task(work)
        on_stop(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until())


def _secrets(environment: Mapping[str, str], port: int | None) -> Secrets:
    """Raises: UsageError naming the variable that is missing."""
    from reroll.slack.app import Secrets

    needed = {BOT: "the bot token of your Slack app (xoxb-…)"}
    needed |= {APP: "the app token for Socket Mode (xapp-…)"} if port is None else {SIGNING: "the app's signing secret"}
    for name, what in needed.items():
        if not environment.get(name, "").strip():
            other = "; or answer over HTTP with --port" if name == APP else ""
            raise UsageError(f"{name} is not set; put {what} there{other} (docs/slack.md)", slug="slack-token")
    return Secrets(
        environment[BOT].strip(),
        environment.get(SIGNING, "").strip() or None,
        environment.get(APP, "").strip() or None,
        _address(environment.get(API) or None, API),
    )


def _installed() -> None:
    """Raises: UsageError where the extra is not installed."""
    try:
        import slack_bolt  # noqa: F401 (only whether it is there)
    except ImportError:
        raise UsageError(
            "`reroll slack` needs slack-bolt, which is not installed; run `pip install 'reroll[slack]'`",
            slug="slack-missing",
        ) from None


def _address(url: str | None, name: str) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
        raise UsageError(f"{name} is an address such as https://reroll.example.org, got {url!r}", slug="slack-address")
    return url.rstrip("/")
