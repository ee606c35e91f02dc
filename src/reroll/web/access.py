"""Who may see and do what: the host that is asked for, the person, the form's origin, and what every reply says.

Four ways in: the link that the terminal prints (once), the cookie that it leaves, an access token, or a reverse proxy
that knows the shared secret and says who it is. Writing needs a page of our own as its origin, and its mark.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, urlencode, urlsplit

from starlette.datastructures import FormData, Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reroll.errors import RerollError
from reroll.keys import is_loopback
from reroll.store import Store
from reroll.web.passes import SESSION_SECONDS, Passes

__all__ = ["COOKIE", "RECEIVING", "Access", "Guard", "Refused", "Visitor", "form_of", "let_in", "local", "visitor_of"]

COOKIE = "reroll"
OPEN = ("/static/", "/healthz")
# Where exporters send what, the last as Langfuse's SDK does. Who may is said there (receiver.py): a token, no cookie.
RECEIVING: Mapping[str, Literal["traces", "logs"]] = {
    "/v1/traces": "traces",
    "/v1/logs": "logs",
    "/api/public/otel/v1/traces": "traces",
}
MOST_BODY = 1 << 20
READING = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Refused(RerollError):
    """A request that is not let through: `status`, and one sentence that says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, slug="serve-refused")
        self.status = status


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `session` is what their forms are marked for; `token` the id of the access token they came with."""

    name: str
    scopes: Collection[str]
    session: str
    token: str | None = None
    by_header: bool = False  # a program, not a browser: it sends no form marks
    by_proxy: bool = False  # the proxy says who it is, with every request

    @property
    def runs_the_server(self) -> bool:
        """Whether they came by the link that the terminal printed."""
        return self.token is None and not self.by_proxy

    @property
    def may_read(self) -> bool:
        return "read" in self.scopes

    @property
    def may_run(self) -> bool:
        return "run" in self.scopes


@dataclass(frozen=True, slots=True)
class Access:
    """How this server lets people in. hosts: names it answers to, without ports; "*": any."""

    passes: Passes
    store: Store
    hosts: Collection[str] = ("localhost", "127.0.0.1", "::1")
    proxy_secret: str | None = None
    clock: Callable[[], float] = time.time

    def visitor(self, headers: Headers, cookies: Mapping[str, str]) -> Visitor | None:
        """Who it is, None where nobody is known."""
        word, _, given = headers.get("authorization", "").partition(" ")
        if word.lower() == "bearer":
            token = self.store.token_of(given.strip())
            return None if token is None else Visitor(token.name, token.scopes, token.id, token.id, by_header=True)
        secret = headers.get("x-reroll-proxy", "")
        if self.proxy_secret and hmac.compare_digest(secret.encode("utf-8", "replace"), self.proxy_secret.encode()):
            name = headers.get("x-forwarded-user") or headers.get("x-forwarded-email") or ""
            return Visitor(name, ("read", "run"), f"proxy:{name}", by_proxy=True) if name else None
        cookie = cookies.get(COOKIE, "")
        said = self.passes.read(cookie, self.clock()) if cookie else None
        if said is None:
            return None
        if said["via"] is None:
            return Visitor(str(said["who"]), ("read", "run"), said["n"])
        kept = next((t for t in self.store.tokens() if t.id == said["via"] and t.revoked_us is None), None)
        return None if kept is None else Visitor(kept.name, kept.scopes, said["n"], kept.id)


class Guard:
    """Stands before every page. Wraps an ASGI app; replies of its own, and those to what nobody foresaw, are made by
    `refuse`."""

    def __init__(self, app: ASGIApp, access: Access, refuse: Callable[[Request, Exception], Response]) -> None:
        self.app, self.access, self.refuse = app, access, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)

        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not request.url.path.startswith("/static/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            through = self._through(request)
        except Refused as refused:
            through = self.refuse(request, refused)
        try:
            await (self.app if through is None else through)(scope, receive, sending)
        except Exception as error:
            # Whoever is outside of us would answer without our headers; what is raised again, it only logs.
            if not begun:
                await self.refuse(request, error)(scope, receive, sending)
            raise

    def _through(self, request: Request) -> Response | None:
        """None where the request may go on; a reply where it is answered here. Raises: Refused."""
        access, headers, path = self.access, request.headers, request.url.path
        host = _parts(f"//{headers.get('host', '')}").hostname or ""
        if "*" not in access.hosts and host not in access.hosts:
            raise Refused(421, f"this server does not answer to `{host[:80]}`; open it by the address it printed")
        if path.startswith(OPEN) or path in RECEIVING:
            return None
        if int(headers.get("content-length") or 0) > MOST_BODY:
            raise Refused(413, "that is more than a million characters; leave out what is not needed and send it again")
        word = request.query_params.get("token")
        if word is not None and request.method in READING:
            return self._opened(request, word)
        who = access.visitor(headers, request.cookies)
        if who is None and path != "/enter":
            raise Refused(401, "this page is for people who were let in")
        if who is not None and not who.may_read:
            raise Refused(403, "your access lets you send traces, and nothing else; ask for another to see the pages")
        request.scope["reroll.visitor"] = who
        if request.method in READING:
            return None
        if who is not None and not who.may_run and path != "/enter":
            raise Refused(403, "your access lets you read, not run; ask whoever gave it to you for the scope `run`")
        if not (who and who.by_header) and not _from_here(headers):
            raise Refused(403, "this was sent from another site's page; open the page here and send it again")
        return None

    def _opened(self, request: Request, word: str) -> Response:
        now = self.access.clock()
        if not self.access.passes.opens(word, now):
            if self.access.visitor(request.headers, request.cookies) is None:
                raise Refused(401, "this link was used before or is older than a quarter of an hour")
            return RedirectResponse(_without_token(request), 303)
        reply = RedirectResponse(_without_token(request), 303)
        let_in(reply, self.access.passes.session(now), request)
        return reply


def let_in(reply: Response, cookie: str, request: Request) -> None:
    """Leave the cookie with whoever asked.

    `lax`: a link to a page, say in a chat, opens it for whoever was let in; forms of other sites come without it.
    """
    # Behind a proxy with TLS the scheme here is http. A form says where its page is, and only over TLS or on this
    # machine does a browser say from which site a request comes.
    headers, host = request.headers, request.url.hostname or ""
    secure = (
        request.url.scheme == "https"
        or headers.get("origin", "").startswith("https://")
        or ("sec-fetch-site" in headers and not is_loopback(host))
    )
    reply.set_cookie(COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=secure)


def _parts(address: str) -> SplitResult:
    """The parts of an address, none of one that is no address."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _without_token(request: Request) -> str:
    """The same page without the word. A path of two slashes would be another site's address."""
    rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
    return "/" + request.url.path.lstrip("/") + (f"?{urlencode(rest)}" if rest else "")


def _from_here(headers: Headers) -> bool:
    """Whether a form was sent from a page of this very server; a browser always says where from."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        return _parts(origin).netloc == headers.get("host")
    return site in ("same-origin", "none")


def local(place: str) -> str:
    """The place, if it is a page of ours; else nothing."""
    return place if place.startswith("/") and not place.startswith(("//", "/\\")) else ""


def visitor_of(request: Request) -> Visitor:
    """Who asks. Raises: Refused where nobody is known (only the door itself is open to them)."""
    who: Any = request.scope.get("reroll.visitor")
    if who is None:
        raise Refused(401, "this page is for people who were let in")
    return who  # type: ignore[no-any-return]


async def form_of(request: Request) -> FormData:
    """The form that was sent, read within limits. Raises: Refused without the mark of a page of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise Refused(413, "that is more than a million characters; leave out what is not needed and send it again")
    request._body = body
    form = await request.form(max_files=0, max_fields=200)
    who: Visitor | None = request.scope.get("reroll.visitor")
    guard: Access = request.app.state.access
    if who is not None and not who.by_header and not guard.passes.is_mark(who.session, str(form.get("mark", ""))):
        raise Refused(403, "the page was open for too long; reload it and send the form again")
    return form
