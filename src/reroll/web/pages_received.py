"""What exporters sent: how much came, what became of it, and what could not be read and may be read again."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reroll.store import Store
from reroll.store_received import Received
from reroll.web.access import Refused, form_of, visitor_of

__all__ = ["ROUTES", "Shown", "shown"]

NEWEST = 5  # calls


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows of it. newest: ids and cases of the calls that were recorded elsewhere and came last."""

    received: Received
    newest: tuple[tuple[str, str], ...]
    address: str


def shown(request: Request) -> Shown:
    """What was received by this project's servers, and where exporters send it."""
    store: Store = request.app.state.home.store
    newest = store.samples(source="imported", limit=NEWEST, newest=True)[::-1]
    address = f"{request.url.scheme}://{request.url.netloc}"
    return Shown(store.received(), tuple((one.id, one.case_id) for one in newest), address)


async def again(request: Request) -> Response:
    """What could not be read is read again, say after a file was mended."""
    await form_of(request)
    if not visitor_of(request).may_run:
        raise Refused(403, "your access lets you read, not run; ask whoever gave it to you for the scope `run`")
    await run_in_threadpool(request.app.state.home.store.retry_received)
    return RedirectResponse("/project#received", 303)


ROUTES = [Route("/received/again", again, methods=["POST"])]
