"""Everything that goes to Slack: once, in order, however often Slack is slow, busy, down or we are killed.

What may have arrived without our hearing of it is looked for before it is sent again: every message carries its key.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from reroll.errors import RerollError, StoreError
from reroll.slack import limits
from reroll.slack.matching import Spoken
from reroll.slack.said import plain
from reroll.store import Store
from reroll.store_slack import SlackMessage
from reroll.web import figured
from reroll.web.gathered import answer_of

__all__ = ["Delivery", "problem_of"]

JSON = Any
FIRST, LONGEST = 0.5, 60.0  # seconds between tries
MOST_TRIES = 5  # of a message that fails for a reason that nobody foresaw
STALE = 60.0  # seconds after which a message that somebody was sending is taken up
FIGURE_WIDTH = 720
NOT_THERE = "I cannot write in that channel; invite me there with `/invite`, and I answer there."
NOT_TOLD = ("not_in_channel", "channel_not_found", "is_archived")
TOO_MUCH = ("invalid_blocks", "msg_blocks_too_long", "msg_too_long", "invalid_blocks_format")
PASSING = ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
KEYS = ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "missing_scope")
OURS = ("ask", "thread", "user", "of")  # what a stored body says to us, not to Slack
TROUBLE = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError)


class _Later(Exception):
    """Not now: try again after so many seconds; 0: as the number of tries says."""

    def __init__(self, seconds: float, problem: str) -> None:
        super().__init__(problem)
        self.seconds, self.problem = seconds, problem


class Delivery:
    """Sends what the outbox holds; reads threads; draws progress. quiet_until: by channel, as Slack asked for."""

    def __init__(self, client: AsyncWebClient, store: Store) -> None:
        self.client, self.store = client, store
        self.quiet_until: dict[str, float] = {}
        self.complained = ""

    async def look(self) -> None:
        """Send what is due, in order within a channel."""
        held: set[str] = set()
        for message in await asyncio.to_thread(self.store.unsent):
            quiet = self.quiet_until.get(message.channel, 0.0) > time.monotonic()
            if message.channel in held or quiet:
                continue
            if not await asyncio.to_thread(self.store.claim_message, message.seq, STALE):
                held.add(message.channel)
                continue
            if not await self._one(message):
                held.add(message.channel)

    async def _one(self, message: SlackMessage) -> bool:
        """Whether it is out of the way: sent, or refused for good."""
        try:
            ts = await self._deliver(message)
        except _Later as later:
            wait = later.seconds or min(LONGEST, FIRST * 2 ** min(message.tries, 10)) * random.uniform(0.75, 1.25)
            await asyncio.to_thread(self.store.retry_message, message.seq, wait, later.problem)
            return False
        except SlackApiError as error:
            problem = _error(error)
            if problem in NOT_TOLD and await self._moved(message):
                return True
            self.complain(f"Slack refuses a message: {problem}")
            await asyncio.to_thread(self.store.end_message, message.seq, "refused", problem=problem)
            return True
        except StoreError:
            raise
        except Exception as error:  # what nobody foresaw must not hold up the channel for ever
            self.complain(f"a message could not be made: {type(error).__name__}")
            if message.tries < MOST_TRIES:
                await asyncio.to_thread(self.store.retry_message, message.seq, FIRST, type(error).__name__)
                return False
            await asyncio.to_thread(self.store.end_message, message.seq, "refused", problem=type(error).__name__)
            return True
        await asyncio.to_thread(self._sent, message, ts)
        return True

    def _sent(self, message: SlackMessage, ts: str | None) -> None:
        self.store.end_message(message.seq, "sent", ts=ts)
        if ts and message.body.get("ask"):  # what came from a command opens a thread of its own
            self.store.open_thread(str(message.body["ask"]), message.channel, ts)

    async def _moved(self, message: SlackMessage) -> bool:
        """Whether what may not be said in a channel goes on with the person alone."""
        user = message.body.get("user")
        if message.method != "post" or not user:
            return False
        body = {k: v for k, v in message.body.items() if k not in OURS}
        invite = {"type": "context", "elements": [{"type": "mrkdwn", "text": NOT_THERE}]}
        try:
            reply = await self.client.chat_postMessage(
                **{**body, "channel": user, "blocks": [*(body.get("blocks") or []), invite]}
            )
        except (SlackApiError, *TROUBLE):
            return False
        channel, ts = str(reply["channel"]), str(reply["ts"])
        await asyncio.to_thread(self.store.end_message, message.seq, "sent", ts=ts)
        if message.body.get("ask"):
            await asyncio.to_thread(self.store.open_thread, str(message.body["ask"]), channel, ts, moved=True)
        return True

    async def _deliver(self, message: SlackMessage) -> str | None:
        try:
            if message.tries and message.problem != "ratelimited" and message.method in ("post", "file"):
                found = await self._there(message)
                if found is not None:
                    return found
            return await self._call(message)
        except SlackApiError as error:
            raise self._why(error, message) from None
        except TROUBLE as error:
            raise _Later(0, f"Slack cannot be reached: {type(error).__name__}") from None

    def _why(self, error: Any, message: SlackMessage) -> Exception:
        problem = _error(error)
        if problem in PASSING or error.response.status_code == 429:
            wait = _retry_after(error)
            if wait:
                self.quiet_until[message.channel] = time.monotonic() + wait
            limited = error.response.status_code == 429 or problem in PASSING[:2]
            return _Later(wait, "ratelimited" if limited else problem)
        if problem in KEYS:
            self.complain(f"Slack does not accept the bot token: {problem}; messages are kept until it does")
            return _Later(LONGEST, problem)
        if error.response.status_code >= 500 or not isinstance(error.response.data, Mapping):
            return _Later(0, f"Slack answered {error.response.status_code}")
        kept: Exception = error
        return kept

    async def _call(self, message: SlackMessage) -> str | None:
        body = {k: v for k, v in message.body.items() if k not in OURS}
        thread = await asyncio.to_thread(self._thread, message)
        if message.method == "file":
            return await self._file(message, thread)
        if message.method == "edit":
            of = await asyncio.to_thread(self.store.message, str(message.body["of"]))
            if of is not None and of.ts is not None and (ts := await self._edit(message.channel, of.ts, body)):
                return ts
        if message.method == "whisper":
            try:
                reply = await self.client.chat_postEphemeral(
                    channel=message.channel, user=message.body["user"], text=body["text"]
                )
            except SlackApiError as error:
                if _error(error) not in (*NOT_TOLD, "user_not_in_channel"):
                    raise
                reply = await self.client.chat_postMessage(channel=message.body["user"], text=body["text"])
            return str(reply.get("message_ts") or reply.get("ts"))
        named = {"event_type": "reroll", "event_payload": {"key": message.key}}
        return await self._post({"channel": message.channel, "thread_ts": thread, "metadata": named, **body})

    def _thread(self, message: SlackMessage) -> str | None:
        asked = self.store.ask(str(message.body.get("ask") or ""))
        return (asked.thread if asked is not None else str(message.body.get("thread") or "")) or None

    async def _post(self, body: dict[str, JSON]) -> str:
        try:
            reply = await self.client.chat_postMessage(**body)
        except SlackApiError as error:
            if _error(error) not in TOO_MUCH:
                raise
            short = {**body, "text": limits.words(body["text"], limits.TEXT), "blocks": None}
            reply = await self.client.chat_postMessage(**short)
        return str(reply["ts"])

    async def _edit(self, channel: str, ts: str, body: dict[str, JSON]) -> str | None:
        """None where the message is gone: then it is said anew."""
        told = {k: v for k, v in body.items() if k in ("text", "blocks", "parse", "link_names")}
        try:
            await self.client.chat_update(channel=channel, ts=ts, **told)
        except SlackApiError as error:
            if _error(error) in ("message_not_found", "cant_update_message", "edit_window_closed"):
                return None
            if _error(error) not in TOO_MUCH:
                raise
            await self.client.chat_update(channel=channel, ts=ts, text=told["text"], blocks=[])
        return ts

    async def _file(self, message: SlackMessage, thread: str | None) -> str | None:
        picture = await asyncio.to_thread(picture_of, self.store, str(message.body["finding"]))
        if picture is None:
            return None
        data, summary = picture
        await self.client.files_upload_v2(
            channel=message.channel,
            thread_ts=thread,
            content=data,
            filename=_file_name(message),
            title=str(message.body["title"]),
            alt_txt=limits.words(summary, 1000),
            initial_comment=message.body.get("text"),
        )
        return None

    async def _there(self, message: SlackMessage) -> str | None:
        """Slack's name of the message, if it arrived when it was sent before."""
        thread = await asyncio.to_thread(self._thread, message)
        if thread is not None:
            told = await self.client.conversations_replies(
                channel=message.channel, ts=thread, include_all_metadata=True, limit=200
            )
        elif message.channel.startswith("U"):
            return None
        else:
            told = await self.client.conversations_history(
                channel=message.channel, include_all_metadata=True, limit=100
            )
        for one in told.get("messages") or []:
            key = ((one.get("metadata") or {}).get("event_payload") or {}).get("key")
            files = [file.get("name") for file in one.get("files") or []]
            if key == message.key or (message.method == "file" and _file_name(message) in files):
                return str(one["ts"])
        return None

    # -- beside the outbox ---------------------------------------------------------------------------------------------

    async def draw(self, channel: str, ts: str, body: Mapping[str, JSON]) -> None:
        """Show where a run stands, if Slack takes it now; the next look draws it anew."""
        if self.quiet_until.get(channel, 0.0) > time.monotonic():
            return
        told = {k: v for k, v in body.items() if k in ("text", "blocks", "parse", "link_names")}
        try:
            await self.client.chat_update(channel=channel, ts=ts, **told)
        except SlackApiError as error:
            self.quiet_until[channel] = time.monotonic() + max(_retry_after(error), 1.0)
        except TROUBLE:
            self.quiet_until[channel] = time.monotonic() + 5.0

    async def thread(self, channel: str, thread: str) -> Sequence[Spoken]:
        """What people said in a thread: its first message, then the newest first; nothing where we may not read it.

        Raises: ConnectionError where Slack cannot be reached now.
        """
        try:
            told = await self.client.conversations_replies(channel=channel, ts=thread, limit=200)
        except SlackApiError as error:
            if isinstance(self._why(error, _NOWHERE), _Later) and _error(error) not in KEYS:
                raise ConnectionError(_error(error)) from None
            return ()
        except TROUBLE as error:
            raise ConnectionError(type(error).__name__) from None
        messages = [one for one in told.get("messages") or [] if not one.get("bot_id") and one.get("user")]
        ordered = [*messages[:1], *reversed(messages[1:])]
        return [Spoken(str(one["user"]), plain(str(one.get("text") or ""))) for one in ordered]

    async def open_form(self, trigger: str, view: Mapping[str, JSON]) -> bool:
        """Whether the form is open. A trigger lasts three seconds, so nothing is tried twice."""
        try:
            await self.client.views_open(trigger_id=trigger, view=dict(view))
        except (SlackApiError, *TROUBLE) as error:
            self.complain(f"a form could not be opened: {problem_of(error)}")
            return False
        return True

    def complain(self, words: str) -> None:
        if words != self.complained:
            self.complained = words
            print(f"reroll: {words}", file=sys.stderr, flush=True)


_NOWHERE = SlackMessage(0, "", "", "post", {}, "waiting", 0, 0, None, "")


def picture_of(store: Store, finding: str) -> tuple[bytes, str] | None:
    """The rate as a PNG, and the same in a sentence; None where the finding has no rate, or it cannot be drawn."""
    answer = answer_of(store.finding_body(finding))
    drawn = {} if answer is None else figured.of_answer(answer)
    if "rate" not in drawn:
        return None
    figure = drawn["rate"](FIGURE_WIDTH)
    try:
        return figure.png(), figure.summary
    except RerollError:
        return None


def _file_name(message: SlackMessage) -> str:
    return f"reroll-{str(message.body['finding']).removeprefix('f_')}.png"


def problem_of(error: Exception) -> str:
    """What went wrong in a word, without anything that was sent."""
    return _error(error) if isinstance(error, SlackApiError) else type(error).__name__


def _error(error: SlackApiError) -> str:
    data = error.response.data if hasattr(error.response, "data") else error.response
    return str(data.get("error", "")) if isinstance(data, Mapping) else f"status {error.response.status_code}"


def _retry_after(error: SlackApiError) -> float:
    headers = {str(k).lower(): v for k, v in (getattr(error.response, "headers", None) or {}).items()}
    given = headers.get("retry-after", 0)
    try:
        return min(float(given[0] if isinstance(given, list) else given), 3600.0)
    except (TypeError, ValueError, IndexError):
        return 0.0
