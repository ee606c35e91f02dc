"""A Ray cluster, joined or started for one command: only one that asks for a token, and of the same versions."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reroll.errors import UsageError
from reroll.keys import is_loopback

__all__ = ["Cluster", "joined"]

CONNECT = 5.0  # seconds for a TCP connection to the head
PROBE = 10.0  # seconds for its answer
MEMORY = 100 << 20  # bytes of object store for a local cluster: samples do not go through it
LONGEST = 40  # characters of a folder for Ray's sockets, whose whole paths may have 107
# What Ray must know before it is imported. Without the first, it tells its makers how it is used.
ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Ray's switch for "this machine only", whatever its name says: every port is then on 127.0.0.1.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

# Asks the head who it is, in a process of its own: Ray reads the mode once in a process, and may try for long.
ASK = """
import json, sys
try:
    from ray._raylet import GcsClient
    from ray.exceptions import AuthenticationError
except Exception as error:
    print(json.dumps({"said": "cannot ask", "why": repr(error)})); sys.exit()
try:
    known = GcsClient(address=sys.argv[1]).internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=10)
    print(json.dumps({"said": "answered", **json.loads(known)}))
except AuthenticationError:
    print(json.dumps({"said": "refused"}))
except Exception as error:
    print(json.dumps({"said": "nothing", "why": type(error).__name__}))
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to. `ray` is the package, `address` None for one of our own."""

    ray: Any
    address: str | None

    @property
    def cpus(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 0))

    @property
    def free_cpus(self) -> int:
        return int(self.ray.available_resources().get("CPU", 0))


@contextlib.contextmanager
def joined(address: str | None, cpus: int) -> Iterator[Cluster]:
    """The cluster at `address` (HOST:PORT), or one with so many CPUs on this machine alone, ended afterwards.

    Ray writes news to stdout from a thread of its own, whatever it is told; so stdout leads nowhere meanwhile.
    Raises: UsageError in one sentence, within half a minute, where the cluster cannot be used.
    """
    _installed()
    _no_password(sys.argv)
    with contextlib.ExitStack() as stack:
        if address is None:
            token = {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_TOKEN_PATH": None, "RAY_ADDRESS": None}
            stack.enter_context(_environment({**ALWAYS, **LOOPBACK, **token}))
        else:
            stack.enter_context(_environment({**ALWAYS, "RAY_ADDRESS": None}))
            _usable(address)
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        ray = _imported()
        told: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address is None:
            told |= {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": MEMORY}
            if folder := _folder():
                told["_temp_dir"] = folder
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
        else:
            told["address"] = address
        stack.callback(ray.shutdown)
        try:
            ray.init(**told)
        except Exception as error:
            raise UsageError(_cannot_join(address, error), slug="cluster") from None
        if address is None and not is_loopback(str(ray.util.get_node_ip_address())):
            raise UsageError(
                "a cluster on this machine would be reachable from others, since Ray was imported before; "
                "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 first",
                slug="cluster",
            )
        yield Cluster(ray, address)


def _installed() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        raise UsageError(
            "--engine ray needs the package ray, which is not installed: run `pip install 'reroll[ray]'`",
            slug="no-ray",
        ) from None


def _imported() -> Any:
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL + 1)
    with contextlib.suppress(Exception):  # a process that has used Ray before still has another mode and token in mind
        import ray._raylet

        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
    if ray.is_initialized():
        raise UsageError(
            "this process is connected to a Ray cluster already; call ray.shutdown() first", slug="cluster"
        )
    return ray


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    try:
        for name, value in wanted.items():
            _put(name, value)
        yield
    finally:
        for name, value in before.items():
            _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _folder() -> str | None:
    """A folder for the logs and sockets of a cluster of our own; None where paths in it would be too long."""
    folder = tempfile.mkdtemp(prefix="reroll-ray-")
    if len(folder) <= LONGEST:
        return folder
    Path(folder).rmdir()
    return None


def _no_password(words: Sequence[str]) -> None:
    """Raises: UsageError for a password on the command line, which Ray would show to all who use the cluster."""
    if any(_has_password(word.partition("=")[2] if word.startswith("--") and "=" in word else word) for word in words):
        raise UsageError(
            "Ray keeps the command line where all users of a cluster can read it, and this one has a password; "
            "put the address into REROLL_STORE, or the password into ~/.pgpass",
            slug="cluster-secret",
        )


def _has_password(word: str) -> bool:
    try:
        return "://" in word and bool(urlsplit(word).password)
    except ValueError:
        return False


def _usable(address: str) -> None:
    """Raises: UsageError where no command may run there, with the reason."""
    host, colon, port = address.strip().rpartition(":")
    if not (colon and host and port.isdecimal()) or "/" in host:
        raise UsageError(
            f"`{address}` is no address of a Ray cluster; write HOST:PORT, as `ray start --head` printed it "
            "(in --cluster, REROLL_CLUSTER or RAY_ADDRESS)",
            slug="cluster",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster at {address}: {getattr(error, 'strerror', None) or error}; start one with "
            "`RAY_AUTH_MODE=token ray start --head`, or leave --cluster out for one on this machine",
            slug="no-cluster",
        ) from None
    if not _token_here():
        raise UsageError(
            "there is no token here for the cluster: set RAY_AUTH_TOKEN_PATH to its file (by default "
            "~/.ray/auth_token), the same on every node",
            slug="cluster-token",
        )
    _judge(address, *_asked(address))


def _token_here() -> bool:
    """Whether Ray will find a token, in the places where it looks."""
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return True
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return path.is_file() and bool(path.read_text(encoding="utf-8", errors="replace").strip())


def _asked(address: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the head says to one without a token, and to us; both are asked at the same time."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH_")} | {"RAY_AUTH_MODE": "disabled"}
    with tempfile.TemporaryDirectory() as nowhere:  # Ray would find a token in the home folder
        asking = [_ask(address, bare | {"HOME": nowhere, "USERPROFILE": nowhere}), _ask(address, dict(os.environ))]
        until = time.monotonic() + PROBE
        without, ours = (_answer(one, until) for one in asking)
        return without, ours


def _ask(address: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ASK, address]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )


def _answer(asking: subprocess.Popen[str], until: float) -> Mapping[str, Any]:
    try:
        out, _ = asking.communicate(timeout=max(0.1, until - time.monotonic()))
        found: Mapping[str, Any] = json.loads(out.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        asking.kill()
        asking.communicate()
        return {"said": "nothing", "why": f"no answer within {PROBE:g} seconds"}
    return found


def _judge(address: str, without: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raises: UsageError unless the head turns away whoever has no token, and lets us in with the same versions."""
    if without["said"] == "answered":
        raise UsageError(
            f"the Ray cluster at {address} asks nobody for a token, so whoever reaches its ports can run code on it; "
            "start it with RAY_AUTH_MODE=token on every node",
            slug="cluster-open",
        )
    if "cannot ask" in (without["said"], ours["said"]):
        raise UsageError(
            f"whether the cluster at {address} asks for a token cannot be told with ray {_installed()} "
            f"({without.get('why') or ours.get('why')}); take a version from 2.52 on that reroll knows",
            slug="cluster",
        )
    if ours["said"] == "refused":
        raise UsageError(
            f"the Ray cluster at {address} refuses the token that is used here; copy the token of its head to "
            "~/.ray/auth_token, or set RAY_AUTH_TOKEN_PATH",
            slug="cluster-token",
        )
    if ours["said"] != "answered" or without["said"] != "refused":
        why = ours.get("why") or without.get("why")
        raise UsageError(f"what is at {address} does not answer as a Ray cluster does ({why})", slug="no-cluster")
    here = {"ray": _installed(), "python": platform.python_version()}
    there = {"ray": str(ours.get("ray_version")), "python": str(ours.get("python_version"))}
    if here != there:
        raise UsageError(
            f"the cluster at {address} runs ray {there['ray']} on Python {there['python']}, this machine ray "
            f"{here['ray']} on Python {here['python']}; they must be the same",
            slug="cluster-version",
        )


def _cannot_join(address: str | None, error: Exception) -> str:
    words = " ".join(str(error).split())
    if address is None:
        return f"no Ray cluster could be started on this machine: {words[:300]}"
    if "raylet" in words.lower() or "node" in words.lower():
        return (
            f"this machine is no node of the cluster at {address} ({words[:200]}); run the command on its head, "
            f"or join it with `ray start --address={address} --num-cpus=0`"
        )
    return f"cannot join the cluster at {address}: {words[:300]}"
