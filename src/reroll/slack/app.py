"""The app that Slack talks to, over HTTP or Socket Mode: what arrives is kept, then acknowledged, then dealt with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reroll.errors import RerollError, StoreError
from reroll.slack.arrived import Arrived, arrived
from reroll.slack.delivery import Delivery, problem_of
from reroll.slack.desk import Caps, Desk
from reroll.slack.watching import Watching
from reroll.web import jobs
from reroll.web.beside import beside
from reroll.web.home import Home

__all__ = ["Office", "Secrets", "client_of", "office", "on_http", "socket_mode"]

JSON = Any
FORMS = ("idea", "meant", "form")  # buttons that open a form, at once
MOST_BODY = 1 << 20
EVERY = 0.2  # seconds between looks
RESTED = 5.0  # seconds before what could not be done is tried again
PATIENCE = 3  # times that it is tried where nobody knows why it fails
RETRY = 5.0  # seconds between tries to reach Slack at the start


@dataclass(frozen=True, slots=True)
class Secrets:
    """From the environment alone. api: where Slack's API is, if not at Slack."""

    bot_token: str
    signing_secret: str | None = None
    app_token: str | None = None
    api: str | None = None

    def __repr__(self) -> str:
        return "Secrets(...)"


def client_of(told: Secrets) -> AsyncWebClient:
    """Slack's API. It repeats nothing by itself: whoever sends knows what may be repeated."""
    place = {} if told.api is None else {"base_url": told.api.rstrip("/") + "/"}
    return AsyncWebClient(token=told.bot_token, timeout=20, retry_handlers=[], logger=silent(), **place)


def silent() -> logging.Logger:
    """Says nothing: requests hold people's words, and errors hold requests."""
    made = logging.getLogger("reroll.slack.silent")
    made.propagate, made.disabled = False, True
    made.handlers = [logging.NullHandler()]
    made.setLevel(logging.CRITICAL + 1)
    return made


class Office:
    """One workplace: takes events in, deals with them, sends what is to be said, follows what runs."""

    def __init__(self, home: Home, told: Secrets, caps: Caps, pages: str | None = None) -> None:
        self.home, self.told = home, told
        self.arrival = asyncio.Event()
        self.client = client_of(told)
        self.desk = Desk(home, caps)
        self.delivery = Delivery(self.client, home.store)
        self.watching = Watching(self.desk, self.delivery, pages)
        self.opening: set[asyncio.Task[Any]] = set()
        self.rested: dict[str, float] = {}
        self.failed: Counter[str] = Counter()
        self.app = self._app()

    def _app(self) -> AsyncApp:
        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=None, team_id=None, bot_token=self.told.bot_token)

        app = AsyncApp(
            client=self.client,
            authorize=authorize,
            signing_secret=self.told.signing_secret or "none",
            logger=silent(),
            ignoring_self_events_enabled=False,  # what any bot wrote is left alone, ours too
        )

        async def take(body: dict[str, JSON]) -> BoltResponse:
            return await self.take(body)

        app.middleware(take)
        return app

    # -- arrivals ------------------------------------------------------------------------------------------------------

    async def take(self, body: dict[str, JSON]) -> BoltResponse:
        """Keep the event, then say that it is here; what opens a form needs nothing kept."""
        came = arrived(body)
        if came is None:
            return BoltResponse(status=200, body="")
        if came.kind == "press" and came.body["action"] in FORMS:
            self._open(came, lambda: self.desk.form_of_press(came.body, came.channel))
            return BoltResponse(status=200, body="")
        try:
            if not await asyncio.to_thread(self._kept, came):
                self._open(came, lambda: self.desk.form(came.body, came.channel))
        except RerollError as error:
            # Slack sends it again; a person who pressed something sees that it did not work.
            print(f"reroll: an event could not be kept: {error}", file=sys.stderr, flush=True)
            return BoltResponse(status=503, body="")
        self.arrival.set()
        if came.kind == "command":
            return BoltResponse(status=200, body=json.dumps({"response_type": "ephemeral", "text": "I am on it."}))
        return BoltResponse(status=200, body="")

    def _kept(self, came: Arrived) -> bool:
        """False where a form is to be opened first: nothing says which request was meant."""
        if came.kind == "message" and not came.body["private"]:
            known = self.desk.known(came.channel, came.body["thread"]) if came.body["inside"] else []
            if not known:
                return True  # people's talk elsewhere is none of our business, and is not kept
        if came.kind in ("command", "shortcut") and came.trigger and not self._clear(came):
            return False
        self.home.store.take_event(came.event_id, came.channel, came.ts, came.kind, came.body)
        return True

    def _clear(self, came: Arrived) -> bool:
        try:
            return self.desk.matches(came.body)
        except RerollError:
            return True  # what is wrong with the project is said in the thread

    def _open(self, came: Arrived, form: Callable[[], Any]) -> None:
        async def opening() -> None:
            view = await asyncio.to_thread(form)
            if view is not None:
                await self.delivery.open_form(came.trigger, view)

        task = asyncio.create_task(opening())
        self.opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self.opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            print(f"reroll: a form could not be made: {type(error).__name__}", file=sys.stderr, flush=True)

    # -- work ----------------------------------------------------------------------------------------------------------

    async def deal(self) -> None:
        """Deal with what came in, in the order in which it came."""
        now = asyncio.get_running_loop().time()
        for event in await asyncio.to_thread(self.home.store.open_events):
            if self.rested.get(event.event_id, 0.0) > now:
                continue
            try:
                before = []
                if await asyncio.to_thread(self.desk.needs_thread, event):
                    before = list(await self.delivery.thread(event.channel, event.body["thread"]))
                await asyncio.to_thread(self.desk.deal, event, before)
                self.rested.pop(event.event_id, None)
            except ConnectionError:
                self.rested[event.event_id] = now + RESTED
            except StoreError:
                raise
            except Exception as error:  # what nobody foresaw must not keep others from being answered
                self.failed[event.event_id] += 1
                self.rested[event.event_id] = now + RESTED
                self.delivery.complain(f"unexpected error: {type(error).__name__}")
                if self.failed[event.event_id] >= PATIENCE:
                    await asyncio.to_thread(self.desk.give_up, event)

    async def go(self) -> None:
        """Until it is cancelled."""
        async with jobs.pool(self.home) as pool, asyncio.TaskGroup() as group:
            loop = asyncio.get_running_loop()

            def wake() -> None:
                loop.call_soon_threadsafe(pool.woken.set)

            self.desk.woken = wake
            for look in (self.deal, self.delivery.look, self.watching.look):
                group.create_task(self._again(look))

    async def _again(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look again and again. A store that is gone, and what nobody foresaw, costs this look alone."""
        while True:
            try:
                await look()
            except RerollError as error:
                self.delivery.complain(str(error))
            except Exception as error:
                self.delivery.complain(f"unexpected error: {type(error).__name__}; it is tried again")
                await asyncio.sleep(1.0)
            if look == self.deal:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.arrival.wait(), EVERY * 5)
                self.arrival.clear()
            else:
                await asyncio.sleep(EVERY)


@contextlib.asynccontextmanager
async def office(made: Office) -> AsyncIterator[Office]:
    async with beside(made.go()):
        yield made


# -- ways in -----------------------------------------------------------------------------------------------------------


def on_http(make: Callable[[], Office]) -> Starlette:
    """Slack's requests at /slack/events, each held against the signing secret."""

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        made = make()
        app.state.handler = AsyncSlackRequestHandler(made.app)
        async with office(made):
            yield

    async def events(request: Request) -> Response:
        body = b""
        async for piece in request.stream():  # whoever knows no secret may send whatever they like
            body += piece
            if len(body) > MOST_BODY:
                return PlainTextResponse("too large\n", 413)
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            return PlainTextResponse("not UTF-8\n", 400)
        request._body = body
        reply: Response = await request.app.state.handler.handle(request)
        return reply

    return Starlette(
        routes=[
            Route("/slack/events", events, methods=["POST"]),
            Route("/healthz", lambda request: PlainTextResponse("ok")),
        ],
        lifespan=life,
    )


async def socket_mode(make: Callable[[], Office]) -> None:
    """Fetch what Slack has, over a websocket that we open; again and again where Slack cannot be reached."""
    from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

    made = make()
    handler = AsyncSocketModeHandler(made.app, made.told.app_token, logger=silent(), web_client=made.client)
    async with office(made):
        while True:
            try:
                await handler.connect_async()
                break
            except Exception as error:  # what a wrong token, a firewall or an outage raise has no common base
                made.delivery.complain(f"Slack cannot be reached over Socket Mode: {problem_of(error)}")
                await asyncio.sleep(RETRY)
        print("reroll is connected to Slack", file=sys.stderr, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await handler.close_async()
