"""The command that serves a fake model: its words held against what can be, then served until it is stopped."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

from reroll.arguments import Faked
from reroll.errors import UsageError
from reroll.fake_faults import FAULTS, Behaviour
from reroll.fake_server import serve
from reroll.match import nearest
from reroll.opening import run
from reroll.output import print_json

__all__ = ["behaviour_of", "fake_server"]

LONGEST = 86_400_000.0  # milliseconds: a day


def fake_server(told: Faked) -> int:
    """Serve until Ctrl-C or SIGTERM; one JSON line on stdout says where, once it answers."""
    behaviour = behaviour_of(told)
    if not 0 <= told.port <= 65_535:
        raise UsageError(f"--port lies between 0 and 65535, got {told.port}; 0 takes a free one", slug="port")

    def tell(url: str) -> None:
        port = int(url.removesuffix("/v1").rpartition(":")[2])
        print_json({"schema": "reroll.fake-server/1", "base_url": url, "port": port, "pid": os.getpid()})
        sys.stdout.flush()

    run(serve(behaviour, told.host, told.port, tell))
    return 0


def behaviour_of(told: Faked) -> Behaviour:
    """How the server is to behave. Raises: UsageError for what cannot be."""
    for name in ("latency", "spread", "drip"):
        _within(name.replace("_", "-"), getattr(told, name), LONGEST, "milliseconds")
    _within("retry-after", told.retry_after, LONGEST, "seconds")
    _within("fail", told.fail, 1.0, "a share of the answers")
    if told.spread and not told.latency:
        raise UsageError("--spread is for --latency; give that too", slug="fake-server")
    if told.expire_after is not None and told.expire_after < 0:
        raise UsageError(f"--expire-after counts calls, got {told.expire_after}; give 0 or more", slug="fake-server")
    if told.most is not None and told.most < 1:
        raise UsageError(f"--most counts calls in flight, got {told.most}; give 1 or more", slug="fake-server")
    return Behaviour(
        answer=told.answer,
        wrong=told.wrong,
        fail=told.fail,
        latency=told.latency / 1000,
        spread=told.spread / 1000,
        faults=_faults(told.fault),
        retry_after=told.retry_after,
        drip=told.drip / 1000,
        seed=told.seed,
        key=told.key,
        expire_after=told.expire_after,
        models=told.model,
        most=told.most,
    )


def _within(name: str, value: float, most: float, what: str) -> None:
    if not (math.isfinite(value) and 0 <= value <= most):
        raise UsageError(f"--{name} is {what} between 0 and {most:g}, got {value:g}", slug="fake-server")


def _faults(told: Sequence[str]) -> dict[str, float]:
    """The share of calls that meets each fault."""
    faults: dict[str, float] = {}
    for text in told:
        name, _, chance = text.partition("=")
        if name not in FAULTS:
            hint = nearest(name, FAULTS) or f"; there are {', '.join(FAULTS)}"
            raise UsageError(f"--fault {text!r}: no fault `{name}`{hint}", slug="fake-server")
        try:
            faults[name] = float(chance)
        except ValueError:
            faults[name] = math.nan
        if not 0 <= faults[name] <= 1:
            raise UsageError(
                f"--fault {text!r}: write NAME=SHARE, the share between 0 and 1, such as {name}=0.05",
                slug="fake-server",
            )
    if sum(faults.values()) > 1 + 1e-9:
        raise UsageError(
            f"the shares of all --fault add up to {sum(faults.values()):g}; a call meets one fault, so at most 1",
            slug="fake-server",
        )
    return faults
