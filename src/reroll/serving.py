"""The server of the pages: where it listens, who may come in, and how it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reroll.allocating import few_heaps
from reroll.errors import UsageError
from reroll.keys import is_surely_loopback
from reroll.web.access import Access
from reroll.web.home import Home
from reroll.web.passes import Passes

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["LOOPBACK", "Serving", "link", "listening_at", "run_app", "serve"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROXY_VARIABLE = "REROLL_PROXY_SECRET"
LEAST_SECRET = 16


@dataclass(frozen=True, slots=True)
class Serving:
    """What `serve` is told. hosts: names besides loopback's that it answers to."""

    host: str = "127.0.0.1"
    port: int = 8585
    hosts: tuple[str, ...] = ()
    proxy_secret: str | None = field(default_factory=lambda: os.environ.get(PROXY_VARIABLE), repr=False)


def link(passes: Passes, told: Serving) -> str:
    """An address that opens the pages once, within a quarter of an hour."""
    host = f"[{told.host}]" if ":" in told.host else told.host
    return f"http://{host}:{told.port}/?token={passes.link(time.time())}"


def access_of(home: Home, told: Serving) -> Access:
    """Who may come in. Raises: UsageError where others could reach the pages and nothing says who may."""
    if told.proxy_secret is not None and len(told.proxy_secret) < LEAST_SECRET:
        raise UsageError(
            f"{PROXY_VARIABLE} has fewer than {LEAST_SECRET} characters; choose a longer one, here and in the proxy",
            slug="serve-access",
        )
    if not is_surely_loopback(told.host):
        if told.proxy_secret is None and not any(t.revoked_us is None for t in home.store.tokens()):
            raise UsageError(
                f"--host {told.host} lets other machines in, and nothing says who may; make an access token with "
                f"`reroll token NAME`, or set {PROXY_VARIABLE} and stand behind a proxy that says who it is, or leave "
                "--host out",
                slug="serve-access",
            )
        if not told.hosts:
            raise UsageError(
                f"--host {told.host} lets other machines in; say by which name they open the pages: --name "
                f"reroll.example.org",
                slug="serve-access",
            )
    return Access(Passes(home.secret), home.store, (*LOOPBACK, *told.hosts), told.proxy_secret)


def serve(home: Home, told: Serving) -> None:
    """Serve the pages until Ctrl-C or a signal to end. Raises: UsageError where it cannot listen there."""
    few_heaps()  # first: threads that run already keep theirs
    from reroll.web.app import create_app

    access = access_of(home, told)
    taken = listening_at(told.host, told.port)
    told = Serving(told.host, taken.getsockname()[1], told.hosts, told.proxy_secret)
    app = create_app(home, access)
    opened = f"reroll serves {home.folder.resolve()}\nOpen {link(access.passes, told)}\n"
    once = "The link opens the pages once; `reroll serve --link` prints another. Ctrl-C ends it, jobs go on."
    run_app(app, taken, opened + once)


def run_app(app: Starlette, taken: socket.socket, said: str) -> None:
    """Say so, and serve the app there until Ctrl-C or a signal to end."""
    # Ctrl-C is how it is ended, from the moment that this is said; uvicorn raises it again when it is done.
    with contextlib.suppress(KeyboardInterrupt):
        print(said, file=sys.stderr, flush=True)
        import uvicorn

        # The address that a proxy says it has is believed only where the secret vouches for it; uvicorn believes none.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[taken])


def listening_at(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises: UsageError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(256)
    except (OSError, OverflowError) as error:
        made.close()
        problem = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(
            f"{host}:{port} cannot be listened at: {problem}; choose another --port, 0 takes a free one",
            slug="serve-port",
        ) from None
    return made
