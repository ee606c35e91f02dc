"""A stored sample's request, as it was sent, and sent once more."""

from __future__ import annotations

import json
from typing import Any

from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.models.choices import choices_of
from reroll.models.model import Draw, Model
from reroll.models.stepped import around
from reroll.opening import model_of, run
from reroll.options import can_be_measured
from reroll.project import Project
from reroll.settings import setting
from reroll.store import NewSample, Store, StoredRequest, StoredSample, several

__all__ = ["replay", "request_bytes"]

SERIES = "replay"


def request_bytes(project: Project, store: Store, sample_id: str) -> bytes:
    """The body that was sent for this sample, made again from the stored request and seed; headers have the key.

    Raises: UsageError where nothing was sent: a recorded or imported sample.
    """
    stored = store.sample(sample_id)
    asked = _asked(store, stored)

    async def work() -> bytes:
        model = model_of(asked.request.model, asked.request.base_url, project.path)
        try:
            return await _body(model, _draw(stored, asked, stored.idx))
        finally:
            await model.close()

    return run(work())


def replay(project: Project, store: Store, sample_id: str) -> tuple[str, bool]:
    """Send it once more. Returns the id of the new sample (of several, the same one), and whether it is an answer.

    What comes back is stored with source `replay`: it was paid for, but it is never evidence, since somebody
    chose which call to repeat. Raises: UsageError where nothing was sent, or sending it again does harm.
    """
    stored = store.sample(sample_id)
    asked = _asked(store, stored)
    can_be_measured(store.get_program(stored.program_id), project.path)

    async def work() -> tuple[str, bool]:
        inner = model_of(asked.request.model, asked.request.base_url, project.path)
        checker = Checker(project.path, seconds=setting("check_timeout"))
        try:
            model = around(inner, store.get_program(stored.program_id), checker)
            await model.check()
            slots = store.reserve(stored.request_id, SERIES, choices_of(model, asked.request.body))
            sample = await model.draw(_draw(stored, asked, slots[0]))
            names = ("request_id", "program_id", "case_id", "variant")
            place: dict[str, Any] = {name: getattr(stored, name) for name in names}
            new = several(NewSample(sample, series=SERIES, idx=slots[0], source="replay", **place))
            alike = stored.choice if stored.choice < len(new) else 0  # the same completion of the call
            return store.add_samples(new)[alike], new[alike].sample.error is None
        finally:
            checker.close()
            await inner.close()

    return run(work())


def _asked(store: Store, stored: StoredSample) -> StoredRequest:
    if stored.source in ("imported", "reported"):
        raise UsageError(
            f"sample {stored.id} was {stored.source}, not drawn: reroll never sent its request; "
            "name one that `reroll samples` lists as drawn",
            slug="not-sent",
        )
    asked = store.get_request(stored.request_id)
    if asked.request.model.startswith("recorded:"):
        raise UsageError(
            f"sample {stored.id} came from a recording, so nothing was sent; name one that a model answered",
            slug="not-sent",
        )
    return asked


def _draw(stored: StoredSample, asked: StoredRequest, idx: int) -> Draw:
    return Draw(asked.request, stored.case_id, idx, stored.sample.seed, stored.variant)


async def _body(model: Model, draw: Draw) -> bytes:
    wire: Any = model
    if not hasattr(wire, "payload") and hasattr(wire, "wire"):
        wire = await wire.wire()  # a model that is served in this process has its wire once it runs
    if hasattr(wire, "payload"):
        body: bytes = wire.payload(draw)
        return body
    return json.dumps(dict(draw.request.body)).encode()
