"""The commands of the pages: serve them, print a link, and keep the access tokens."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from reroll.arguments import Common
from reroll.errors import UsageError
from reroll.opening import project_of, store_of
from reroll.output import print_json
from reroll.serving import Serving, link, serve
from reroll.settings import setting
from reroll.web.home import Home, secret_of
from reroll.web.passes import Passes

__all__ = ["serve_pages", "token"]


def serve_pages(told: Serving, only_link: bool, max_usd: float | None, budget: int | None, common: Common) -> int:
    if only_link:
        print(link(Passes(secret_of(common.project)), told))
        return 0
    project = project_of(common)
    with store_of(common, project) as store:
        home = Home(common.project, store, setting("store", common.store), secret_of(common.project), max_usd, budget)
        serve(home, told)
    return 0


def token(name: str | None, scope: Sequence[str], max_usd: float | None, revoke: str | None, common: Common) -> int:
    """Make, list or revoke access tokens. Raises: UsageError for a token that is not there."""
    project = project_of(common)
    with store_of(common, project) as store:
        if revoke is not None:
            store.revoke_token(revoke)
            print(f"{revoke} opens nothing any more", file=sys.stderr)
            return 0
        if name is not None:
            if not name.strip():
                raise UsageError("a token needs a name: who or what it is for", slug="serve-token")
            id, secret = store.new_token(name, tuple(scope) or ("read",), max_usd)
            if common.json:
                print_json({"schema": "reroll.token/1", "id": id, "name": name, "secret": secret})
            else:
                print(secret)
                print(f"This is {id}, for {name}. It is shown once; only its hash is kept.", file=sys.stderr)
            return 0
        known = store.tokens()
        if common.json:
            shown = [
                {
                    "id": t.id,
                    "name": t.name,
                    "scopes": list(t.scopes),
                    "max_usd": t.max_usd,
                    "revoked": t.revoked_us is not None,
                }
                for t in known
            ]
            print_json({"schema": "reroll.tokens/1", "tokens": shown})
        elif not known:
            print("no token was made yet; `reroll token NAME` makes one", file=sys.stderr)
        for one in [] if common.json else known:
            print(f"{one.id}  {one.name}  {'+'.join(one.scopes)}{'  revoked' if one.revoked_us else ''}")
    return 0
