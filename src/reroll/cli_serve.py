"""The command line of the pages: words into calls of the functions beneath, registered by `reroll.cli`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from reroll.arguments import Common

__all__ = ["serve", "token"]

COMMON = Common()


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8585,
    name: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=False)] = (),
    link: bool = False,
    max_usd: float | None = None,
    budget: int | None = None,
    common: Common = COMMON,
) -> int:
    """Serve the answers as pages, live while runs go on, on this machine unless told otherwise.

    Parameters
    ----------
    host
        The address to listen at. Any but this machine's own needs access tokens or a proxy (REROLL_PROXY_SECRET).
    port
        The port; 0 takes a free one.
    name
        A name by which other machines open the pages, such as reroll.example.org; may be repeated.
    link
        Only print another link for the server that runs at this host and port: it opens the pages once.
    max_usd
        No job that a page starts may cost more.
    budget
        No job that a page starts may make more calls.
    """
    from reroll import commands_serve
    from reroll.serving import Serving

    return commands_serve.serve_pages(Serving(host, port, name), link, max_usd, budget, common)


def token(
    name: str | None = None,
    /,
    *,
    scope: Annotated[tuple[Literal["read", "run", "send"], ...], Parameter(negative="", consume_multiple=False)] = (),
    max_usd: float | None = None,
    revoke: str | None = None,
    common: Common = COMMON,
) -> int:
    """Make an access token for the pages, list them, or revoke one. A token is shown once.

    Parameters
    ----------
    name
        Who or what it is for; without a name the tokens are listed.
    scope
        read: see the pages (default); run: also start what makes calls; send: send traces, and see nothing. May be
        repeated.
    max_usd
        What all jobs that it starts may cost together.
    revoke
        The id of a token that is to open nothing any more.
    """
    from reroll import commands_serve

    return commands_serve.token(name, scope, max_usd, revoke, common)
