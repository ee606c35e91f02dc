"""Names that nobody knows and TLS that fails, through the real commands: one sentence before, recorded tries within."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from yarl import URL

from reroll.models import connections
from reroll.models.connections import look_up
from reroll.opening import run
from reroll.store import Store, StoredSample
from tests.background import reroll, reroll_apart, write_project

Mode = Literal["good", "expired", "stranger", "plain", "cut"]
NOWHERE = "no-such-host.invalid"  # a name that never exists (RFC 6761)

CA = """
[ca]
default_ca = it
[it]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
certificate = ca.pem
private_key = ca.key
unique_subject = no
[any]
commonName = supplied
[leaf]
subjectAltName = IP:127.0.0.1
"""
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
VALID, LONG_AGO = ("20200101000000Z", "20990101000000Z"), ("20200101000000Z", "20200102000000Z")


def openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority of our own (ca.pem), what it signed (good, expired), and one signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "ca.cnf").write_text(CA)
    (folder / "index.txt").write_text("")
    openssl(
        folder, "req", "-x509", *EC, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=reroll tests"
    )
    own = ("-days", "2", "-subj", "/CN=stranger", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl(folder, "req", "-x509", *EC, "-keyout", "stranger.key", "-out", "stranger.pem", *own)
    for name, (start, end) in (("good", VALID), ("expired", LONG_AGO)):
        openssl(folder, "req", "-new", *EC, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        dates = ("-startdate", start, "-enddate", end)
        signed = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", "-extensions", "leaf")
        openssl(folder, "ca", "-batch", "-config", "ca.cnf", *dates, *signed)
    return folder


class Server:
    """Answers the first connection in one mode and all later ones in another; every connection takes one request."""

    def __init__(self, certificates: Path, first: Mode, then: Mode | None) -> None:
        self.first, self.then, self.connections = first, then or first, 0
        self.contexts = {}
        for name in ("good", "expired", "stranger"):
            context = self.contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        mode = self.first if self.connections == 1 else self.then
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if mode in self.contexts:
                await writer.start_tls(self.contexts[mode])
            if mode != "cut":
                if mode == "plain":
                    await reader.read(1)  # of whatever it is
                else:
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def listening(certificates: Path, first: Mode, then: Mode | None = None) -> Iterator[str]:
    """The address of such a server on this machine, from a thread: host and port."""
    server, started, held = Server(certificates, first, then), threading.Event(), {}

    async def serve() -> None:
        listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
        held.update(loop=asyncio.get_running_loop(), over=asyncio.Event(), port=listener.sockets[0].getsockname()[1])
        started.set()
        async with listener:
            await held["over"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield f"127.0.0.1:{held['port']}"
    finally:
        held["loop"].call_soon_threadsafe(held["over"].set)
        thread.join(20)


def trusting(certificates: Path) -> dict[str, str]:
    """An environment in which the tests' own authority is trusted."""
    return {**os.environ, "SSL_CERT_FILE": str(certificates / "ca.pem")}


def complaint(done: subprocess.Popen[str]) -> str:
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (2, ""), err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("reroll: ")]
    return line


# -- before anything is drawn


@pytest.mark.parametrize(
    ("mode", "scheme", "words"),
    [
        ("stranger", "https", "TLS failed (self-signed certificate); is base_url right?"),
        ("plain", "https", "TLS failed (the server does not speak TLS; is it http://?)"),
        ("good", "http", "connection reset; does the server want https://?"),
        ("cut", "https", "connection reset; is base_url right?"),
    ],
)
def test_a_server_that_speaks_otherwise_is_said_to_in_one_sentence(
    certificates: Path, tmp_path: Path, capsys: Any, mode: Mode, scheme: str, words: str
) -> None:
    with listening(certificates, mode) as place:
        project = write_project(tmp_path, f"{scheme}://{place}")
        said = reroll(capsys, "rerun", "greet", "--project", project).complaint
    assert said.startswith(f"reroll: cannot reach {scheme}://{place}/v1: ")
    assert words in said
    assert said.endswith("[unreachable]")


def test_an_expired_certificate_is_said_to_be_one(certificates: Path, tmp_path: Path) -> None:
    with listening(certificates, "expired") as place:
        project = write_project(tmp_path, f"https://{place}")
        said = complaint(reroll_apart("rerun", "greet", "--project", project, env=trusting(certificates)))
    assert "TLS failed (certificate has expired); is base_url right?" in said


def test_a_name_that_nobody_knows_is_said_in_one_sentence_without_leaving_this_machine(tmp_path: Path) -> None:
    """The real resolver, in a network of its own where nothing can be reached: some ask their server for any name."""
    apart = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here (Linux: unshare --map-root-user --net)")
    project = write_project(tmp_path, f"http://{NOWHERE}")
    words = [sys.executable, "-m", "reroll", "rerun", "greet", "--yes", "--project", str(project)]
    done = subprocess.run([*apart, *words], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot reach http://{NOWHERE}/v1: host name `{NOWHERE}` is not known (DNS); is base_url" in done.stderr


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".invalid", "bad host", "[::1"])
def test_what_can_be_no_host_name_is_one_sentence_too(tmp_path: Path, capsys: Any, host: str) -> None:
    said = reroll(capsys, "doctor", "openai:tiny", "--base-url", f"http://{host}/v1").complaint
    assert said.endswith(("[unreachable]", "[base-url]"))


# -- in the middle


def lost(project: Path) -> list[StoredSample]:
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        return store.samples()


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("expired", "TLS failed (certificate has expired)"),
        ("stranger", "TLS failed (self-signed certificate)"),
        ("plain", "TLS failed (the server does not speak TLS; is it http://?)"),
        ("cut", "connection reset"),
    ],
)
def test_tls_that_breaks_after_the_check_is_a_recorded_try_of_every_draw(
    certificates: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, then: Mode, words: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    monkeypatch.setenv("REROLL_TRIES", "1")
    with listening(certificates, "good", then) as place:
        project = write_project(tmp_path, f"https://{place}")
        said = reroll(capsys, "rerun", "greet", "--project", project).complaint
    assert "answered none of the first" in said
    assert f"the last error was: {words}; mend that" in said
    found = lost(project)
    assert {s.source for s in found} == {"outage"}
    assert [[a.error for a in s.sample.attempts] for s in found] == [[words]] * len(found)
    assert len(found) >= 8


def test_a_name_that_is_lost_after_the_check_is_a_recorded_try_of_every_draw(
    certificates: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a resolver of our own: a name cannot be taken away from the real one between two calls."""
    asked = 0

    async def forgetful(name: str, port: int) -> Any:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await look_up("127.0.0.1", port)

    monkeypatch.setattr(connections, "look_up", forgetful)
    monkeypatch.setattr(connections, "NAMES_KEPT", -1.0)
    monkeypatch.setenv("REROLL_TRIES", "2")
    with listening(certificates, "plain") as place:
        project = write_project(tmp_path, f"http://{NOWHERE}:{place.partition(':')[2]}")
        reroll(capsys, "rerun", "greet", "--budget", "2", "--concurrency", "1", "--project", project)
    (first, *_) = lost(project)
    assert [a.error for a in first.sample.attempts] == [f"host name `{NOWHERE}` is not known (DNS)"] * 2


def test_large_requests_and_answers_over_tls_share_one_connection(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    context, ports = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), set[int]()
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")

    async def echo(request: web.Request) -> web.StreamResponse:
        data = await request.read()
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for start in range(0, len(data), 70_000):
            await answer.write(data[start : start + 70_000])
        await answer.write_eof()
        return answer

    async def work() -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = URL(f"https://127.0.0.1:{runner.addresses[0][1]}/")
        server = connections.Connections(url)
        for size in (10, 100_000, 5_000_000):
            data = b"0123456789" * (size // 10)
            got = await server.send("POST", url, {}, data, 60)
            assert (got.status, got.body) == (200, data)
        await server.close()
        await runner.cleanup()

    run(work())
    assert len(ports) == 1
