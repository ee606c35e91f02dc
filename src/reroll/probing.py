"""What a model can do: asked once, stored, and asked again when another version of it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from reroll.models.model import Capabilities, Model
from reroll.store import Store
from reroll.store_probes import StoredProbe

__all__ = ["PROBE", "Change", "Probed", "capabilities_of", "probe_now"]

PROBE = 2  # raised when the probe asks otherwise: what an earlier one found is then asked anew
SAYINGS = ("notes", "versions")  # what is no ability
NO_ABILITY = (*SAYINGS, "unanswered")
# For how many seconds a probe stands that left something unanswered: the first one, the second in a row that left the
# very same, any later one. A busy moment is over by the next command; what always ends in 503 does not cost every
# command a probe.
STANDS = (0.0, 3600.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class Change:
    """An ability that is another than it was; `since` is when it was last asked (Unix time). `version`: the model's."""

    name: str
    before: Any
    after: Any
    since: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What a model can do, when it was asked (Unix time; None: it was not stored), and what is other than last time."""

    capabilities: Capabilities
    probed: float | None
    changes: tuple[Change, ...] = ()


async def capabilities_of(store: Store, model: Model, clock: Callable[[], float] = time.time) -> Capabilities:
    """What the model can do: as stored for the version of it that answered last, else asked now and stored.

    A version is what the server says answered (`Sample.model` and `fingerprint`). One that answered a later call than
    the probe makes the probe stale. Where nothing was ever said of versions, one probe stands for the model. One that
    left something unanswered stands for a while only, and where there is no whole one.
    """
    known = [one for one in store.probes(model.identity) if one.probe == PROBE]
    version, when = store.last_answer(model.identity)
    now = clock()
    whole = [one for one in known if _whole(one)]
    for some in (whole, [one for k, one in enumerate(known) if not _whole(one) and _stands(known[: k + 1], now)]):
        if some and (not version or some[-1].probed >= when):
            return _from_json(some[-1].capabilities)
        for one in reversed(some):
            if one.version == version:
                return _from_json(one.capabilities)
    return (await probe_now(store, model)).capabilities


def _whole(one: StoredProbe) -> bool:
    """Whether every call of the probe was answered."""
    return not one.capabilities.get("unanswered")


def _stands(so_far: Sequence[StoredProbe], now: float) -> bool:
    """Whether the last of these, which is not whole, is good enough for now."""
    last = so_far[-1]
    unknown, in_a_row = _unknown(last), 0
    for one in reversed(so_far):
        if one.version == last.version:
            if _whole(one) or _unknown(one) != unknown:
                break
            in_a_row += 1
    return 0 <= now - last.probed < STANDS[min(in_a_row, len(STANDS)) - 1]


def _unknown(one: StoredProbe) -> set[str]:
    return {name for name, value in _abilities(_from_json(one.capabilities)).items() if value is None}


async def probe_now(store: Store | None, model: Model) -> Probed:
    """What the model can do by now, stored where there is a store and anything was found out."""
    before = store.probes(model.identity) if store is not None else []
    found = await model.probe()
    able = _abilities(found)
    if store is None or all(value is None for value in able.values()):
        return Probed(found, None)
    seen, _ = store.last_answer(model.identity)
    versions = found.versions or (seen,)  # a probe that hears of no version asked the one that answered before
    probed = store.put_probe(model.identity, versions, PROBE, asdict(found))
    last = next((one for one in reversed(before) if _whole(one)), before[-1] if before else None)
    return Probed(found, probed, () if last is None else _changes(last, versions[-1], able))


def _changes(last: StoredProbe, version: str, able: Mapping[str, Any]) -> tuple[Change, ...]:
    """What was found otherwise; what was not tried then or now has not changed."""
    was = _abilities(_from_json(last.capabilities))
    pairs = [("version", last.version or None, version or None), *((name, was[name], able[name]) for name in able)]
    return tuple(
        Change(name, before, after, last.probed)
        for name, before, after in pairs
        if before is not None and after is not None and before != after
    )


def _abilities(found: Capabilities) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in fields(found) if field.name not in NO_ABILITY}


def _from_json(stored: Mapping[str, Any]) -> Capabilities:
    """What was stored; an ability that this reroll does not know is left out, one that was not asked is not tried."""
    known = {field.name for field in fields(Capabilities)}
    plain = {name: value for name, value in stored.items() if name in known}
    return Capabilities(**{**plain, **{name: tuple(plain.get(name) or ()) for name in SAYINGS}})
