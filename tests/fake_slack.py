"""A fake Slack on loopback: its Web API with Slack's limits and faults to order, and Socket Mode's websocket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web

BOT_TOKEN = "xoxb-the-bot-token-of-tests"
APP_TOKEN = "xapp-the-app-token-of-tests"
SIGNING = "the-signing-secret-of-tests"
ME = "UBOT"
JSON = Any


@dataclass
class Call:
    """One request to the API, and whether it took effect."""

    method: str
    told: dict[str, JSON]
    at: float
    done: bool


@dataclass
class FakeSlack:
    """Channels with their messages, all calls, and the faults that come next: by method a list of `429:SECONDS`,
    `500`, `drop` (nothing done, no reply), `lost` (done, no reply) or an error's name."""

    base: str = ""
    messages: dict[str, list[dict[str, JSON]]] = field(default_factory=lambda: defaultdict(list))
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    views: list[dict[str, JSON]] = field(default_factory=list)
    uploads: dict[str, dict[str, JSON]] = field(default_factory=dict)
    down: bool = False
    problems: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    acks: dict[str, float] = field(default_factory=dict)
    _clock: int = 1_700_000_000
    _loop: asyncio.AbstractEventLoop | None = None

    # -- what tests ask ------------------------------------------------------------------------------------------------

    def ts(self) -> str:
        self._clock += 1
        return f"{self._clock}.000100"

    def say(self, channel: str, user: str, text: str, thread: str | None = None) -> str:
        """A person writes; the name of the message."""
        ts = self.ts()
        self.messages[channel].append({"ts": ts, "user": user, "text": text, "thread_ts": thread or ts})
        return ts

    def ours(self, channel: str) -> list[dict[str, JSON]]:
        """What the bot wrote there and what it says now."""
        return [one for one in self.messages[channel] if one.get("bot_id")]

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    # -- the API -------------------------------------------------------------------------------------------------------

    async def api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        told = await _told(request)
        if self.down:
            request.transport and request.transport.close()
            raise web.HTTPInternalServerError
        fault = self.faults[method].pop(0) if self.faults[method] else ""
        self.calls.append(Call(method, told, time.monotonic(), fault in ("", "lost")))
        if fault.startswith("429"):
            body = {"ok": False, "error": "ratelimited"}
            return web.json_response(body, status=429, headers={"Retry-After": fault.partition(":")[2] or "1"})
        if fault == "500":
            return web.Response(status=500, text="<html>oops</html>")
        if fault == "drop":
            request.transport and request.transport.close()
            raise web.HTTPInternalServerError
        if fault and fault != "lost":
            return web.json_response({"ok": False, "error": fault})
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        if request.headers.get("Authorization") != f"Bearer {wanted}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        does: Callable[[dict[str, JSON]], dict[str, JSON]] | None = getattr(
            self, "do_" + method.replace(".", "_"), None
        )
        if does is None:
            self.problems.append(f"unknown method {method}")
            return web.json_response({"ok": False, "error": "unknown_method"})
        reply = does(told)
        if fault == "lost":
            request.transport and request.transport.close()
            raise web.HTTPInternalServerError
        return web.json_response({"ok": "error" not in reply, **reply})

    def do_auth_test(self, told: dict[str, JSON]) -> dict[str, JSON]:
        return {"user_id": ME, "bot_id": "BBOT", "team_id": "T1"}

    def do_chat_postMessage(self, told: dict[str, JSON]) -> dict[str, JSON]:
        if wrong := limits_broken(told):
            self.problems.append(wrong)
            return {"error": wrong}
        if told["channel"].startswith("U"):  # a person: the two are alone in a channel of their own
            told["channel"] = f"D{told['channel']}"
        ts = self.ts()
        kept = {"ts": ts, "bot_id": "BBOT", "user": ME, "text": told.get("text"), "blocks": told.get("blocks")}
        kept |= {"thread_ts": told.get("thread_ts") or ts, "metadata": told.get("metadata"), "told": told}
        self.messages[told["channel"]].append(kept)
        return {"ts": ts, "channel": told["channel"]}

    def do_chat_update(self, told: dict[str, JSON]) -> dict[str, JSON]:
        if wrong := limits_broken(told):
            self.problems.append(wrong)
            return {"error": wrong}
        for one in self.messages[told["channel"]]:
            if one["ts"] == told["ts"]:
                one.update(text=told.get("text"), blocks=told.get("blocks"))
                return {"ts": told["ts"]}
        return {"error": "message_not_found"}

    def do_chat_postEphemeral(self, told: dict[str, JSON]) -> dict[str, JSON]:
        return {"message_ts": self.ts()}

    def do_conversations_replies(self, told: dict[str, JSON]) -> dict[str, JSON]:
        found = [_seen(one) for one in self.messages[told["channel"]] if one["thread_ts"] == told["ts"]]
        return {"messages": found}

    def do_conversations_history(self, told: dict[str, JSON]) -> dict[str, JSON]:
        return {"messages": [_seen(one) for one in reversed(self.messages[told["channel"]])]}

    def do_views_open(self, told: dict[str, JSON]) -> dict[str, JSON]:
        view = told["view"] if isinstance(told["view"], dict) else json.loads(told["view"])
        if len(view["private_metadata"]) > 3000 or len(view["title"]["text"]) > 24:
            self.problems.append("a form is too large")
        self.views.append({"trigger": told["trigger_id"], **view})
        return {"view": {"id": f"V{len(self.views)}"}}

    def do_files_getUploadURLExternal(self, told: dict[str, JSON]) -> dict[str, JSON]:
        id = f"F{len(self.uploads) + 1}"
        self.uploads[id] = dict(told)
        return {"upload_url": f"{self.base}/upload/{id}", "file_id": id}

    def do_files_completeUploadExternal(self, told: dict[str, JSON]) -> dict[str, JSON]:
        files = told["files"] if isinstance(told["files"], list) else json.loads(told["files"])
        ts = self.ts()
        named = [{"id": one["id"], "name": self.uploads[one["id"]]["filename"], "title": one["title"]} for one in files]
        self.messages[told["channel_id"]].append(
            {
                "ts": ts,
                "bot_id": "BBOT",
                "user": ME,
                "text": told.get("initial_comment"),
                "files": named,
                "thread_ts": told.get("thread_ts") or ts,
            }
        )
        return {"files": named}

    def do_apps_connections_open(self, told: dict[str, JSON]) -> dict[str, JSON]:
        return {"url": self.base.replace("http://", "ws://") + "/socket"}

    async def upload(self, request: web.Request) -> web.Response:
        self.uploads[request.match_info["id"]]["data"] = await _file(request)
        return web.Response(text="OK")

    # -- Socket Mode ---------------------------------------------------------------------------------------------------

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        made = web.WebSocketResponse()
        await made.prepare(request)
        await made.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}})
        self.sockets.append(made)
        async for message in made:
            if message.type == WSMsgType.TEXT and message.data.startswith("{"):
                self.acks[json.loads(message.data).get("envelope_id", "")] = time.monotonic()
        return made

    def over_socket(self, kind: str, payload: dict[str, JSON], envelope: str) -> None:
        """Send one event over the newest websocket."""
        body = {"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": False}
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self.sockets[-1].send_json(body), self._loop).result(10)


def _seen(message: dict[str, JSON]) -> dict[str, JSON]:
    return {k: v for k, v in message.items() if k != "told"}


def limits_broken(told: dict[str, JSON]) -> str:
    """The error that Slack answers for a message that is too large; empty if it fits."""
    blocks = told.get("blocks") or []
    if len(blocks) > 50 or len(json.dumps(blocks, ensure_ascii=False)) > 13_200:
        return "msg_blocks_too_long"
    if len(told.get("text") or "") > 40_000:
        return "msg_too_long"
    for block in blocks:
        text = block.get("text") or {}
        most = {"section": 3000, "header": 150}.get(block["type"], 3000)
        if block["type"] in ("section", "header") and not 0 < len(text.get("text", "")) <= most:
            return "invalid_blocks"
        for element in block.get("elements") or []:
            large = element.get("type") == "button" and (
                len(element["text"]["text"]) > 75 or len(element["value"]) > 2000
            )
            if large:
                return "invalid_blocks"
    return ""


async def _told(request: web.Request) -> dict[str, JSON]:
    told: dict[str, JSON] = dict(request.query)
    if request.content_type == "application/json":
        told |= await request.json()
    elif request.can_read_body:
        told |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    for name in ("blocks", "metadata"):
        if isinstance(told.get(name), str):
            told[name] = json.loads(told[name])
    return told


async def _file(request: web.Request) -> bytes:
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        return next(v.file.read() for v in form.values() if not isinstance(v, str | bytes | bytearray))
    return await request.read()


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    """A fake Slack that answers until the block ends, in a thread of its own."""
    made, ready, loop = FakeSlack(), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/api/{method}", made.api)
        app.router.add_post("/upload/{id}", made.upload)
        app.router.add_get("/socket", made.socket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        made._loop = loop
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


# -- what Slack sends --------------------------------------------------------------------------------------------------


def event(kind: str, channel: str, user: str, text: str, ts: str, id: str, **more: JSON) -> dict[str, JSON]:
    """An Events API body."""
    told = {"type": kind, "user": user, "text": text, "ts": ts, "channel": channel, "channel_type": "channel", **more}
    return {
        "type": "event_callback",
        "event_id": id,
        "team_id": "T1",
        "event": told,
        "token": "the-old-verification-token",
        "authorizations": [{"team_id": "T1", "user_id": ME, "is_bot": True}],
    }


def press(channel: str, user: str, action: str, value: str, at: str, message: str) -> dict[str, JSON]:
    return {
        "type": "block_actions",
        "user": {"id": user},
        "team": {"id": "T1"},
        "channel": {"id": channel},
        "trigger_id": f"trigger-{at}",
        "message": {"ts": message},
        "response_url": "https://hooks.example/secret",
        "actions": [{"type": "button", "action_id": action, "value": value, "action_ts": at, "block_id": "b"}],
    }


def shortcut(channel: str, user: str, author: str, text: str, ts: str, at: str) -> dict[str, JSON]:
    return {
        "type": "message_action",
        "callback_id": "measure",
        "trigger_id": f"trigger-{at}",
        "action_ts": at,
        "user": {"id": user},
        "team": {"id": "T1"},
        "channel": {"id": channel},
        "message_ts": ts,
        "message": {"user": author, "text": text, "ts": ts},
    }


def submitted(view: dict[str, JSON], user: str, id: str, **fields: str) -> dict[str, JSON]:
    """A form as it comes back; a choice is written `option:VALUE`."""
    values = {}
    for name, value in fields.items():
        chosen = value.removeprefix("option:")
        given = {"selected_option": {"value": chosen}} if value != chosen else {"value": value}
        values[name] = {name: given}
    told = {"id": id, "callback_id": view["callback_id"], "private_metadata": view["private_metadata"]}
    return {
        "type": "view_submission",
        "user": {"id": user},
        "team": {"id": "T1"},
        "view": {**told, "state": {"values": values}, "type": "modal"},
    }


def command(channel: str, user: str, text: str, trigger: str) -> dict[str, JSON]:
    return {
        "command": "/reroll",
        "text": text,
        "user_id": user,
        "channel_id": channel,
        "trigger_id": trigger,
        "team_id": "T1",
    }


def signed(body: dict[str, JSON], secret: str = SIGNING, age: int = 0) -> tuple[bytes, dict[str, str]]:
    """The request that Slack makes of it. Interactions and commands come as forms."""
    if "command" in body:
        raw, kind = urlencode(body), "application/x-www-form-urlencoded"
    elif body["type"] in ("event_callback", "url_verification"):
        raw, kind = json.dumps(body), "application/json"
    else:
        raw, kind = urlencode({"payload": json.dumps(body)}), "application/x-www-form-urlencoded"
    at = str(int(time.time()) - age)
    sign = hmac.new(secret.encode(), f"v0:{at}:{raw}".encode(), hashlib.sha256).hexdigest()
    return raw.encode(), {"content-type": kind, "x-slack-request-timestamp": at, "x-slack-signature": f"v0={sign}"}


def post(url: str, body: dict[str, JSON]) -> tuple[int, str, float]:
    """What Slack's request is answered with, and how long that took."""
    request = urllib.request.Request(url, *signed(body))
    started = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode(), time.monotonic() - started
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), time.monotonic() - started
