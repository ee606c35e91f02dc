"""What is released: every file on a list, the same bytes twice, with its licences, no heavier than promised."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

import reroll
from tests.test_dependencies import PROJECT, locked

SOURCE = Path(reroll.__file__).parent
ROOT = SOURCE.parent.parent
NAME = f"reroll-{reroll.__version__}"
# Everything that a wheel may hold. What fits no line is junk, or has to be thought about here.
WHEEL = re.compile(
    rf"""reroll/([a-z_]+/)*[a-z0-9_]+\.py
    | reroll/py\.typed
    | reroll/web/templates/[a-z_]+\.html
    | reroll/web/static/[a-z]+\.(js|css|svg)
    | reroll/web/static/fonts/([a-z]+\.woff2|LICENSE)
    | reroll/render/figures/[a-z]+\.css
    | reroll/bundled/(card\.json|meetings\.gguf)
    | reroll/web/glossary\.json
    | reroll/bundled/fonts/(DejaVuSansMono(-Bold)?\.ttf|LICENSE)
    | reroll/bundled/meetings/([a-z]+|fixes/[a-z-]+)\.yaml
    | {re.escape(NAME)}\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/(.+/)?LICENSE)""",
    re.VERBOSE,
)
MB = 10**6
MOST_WHEEL, MOST_SDIST, MOST_CORE = 4 * MB, 4 * MB, 300 * MB
# What a browser loads for a page besides the page, as it is sent.
MOST_STATIC, MOST_SCRIPT = 200_000, 10_000
FONTS = {"inter": "== inter", "mono": "== jetbrains-mono", "serif": "== source-serif-4"}
# What must not be imported before it is needed: each costs more than all of `reroll --help`.
HEAVY = set(
    """numpy pydantic sqlalchemy alembic aiohttp starlette jinja2 uvicorn uvloop xllamacpp jsonschema re2 yaml
    genai_prices opentelemetry google asyncio ssl multiprocessing ray pyarrow slack_bolt gepa""".split()
)


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    sdist: Path


def build(folder: Path, **environment: str) -> Built:
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return Built(folder / f"{NAME}-py3-none-any.whl", folder / f"{NAME}.tar.gz")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


def test_the_wheel_holds_what_is_on_the_list_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        assert [name for name in names if not WHEEL.fullmatch(name)] == []
        model = hashlib.sha256(archive.read("reroll/bundled/meetings.gguf")).hexdigest()
        assert model == json.loads(archive.read("reroll/bundled/card.json"))["sha256"]
    here = {f"reroll/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*.*") if path.is_file()}
    assert {name for name in here if "__pycache__" not in name} <= names


def test_the_sdist_holds_what_the_wheel_is_built_from_and_nothing_else(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = [member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()]
    beside = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert {name for name in names if not name.startswith("src/reroll/")} <= beside
    with zipfile.ZipFile(built.wheel) as archive:
        assert {f"src/{name}" for name in archive.namelist() if name.startswith("reroll/")} == set(names) - beside


def test_the_licences_of_all_that_is_in_the_wheel_are_in_it(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        told = archive.read(f"{NAME}.dist-info/METADATA").decode()
        texts = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith("LICENSE")}
    assert "License-Expression: Apache-2.0 AND OFL-1.1 AND Bitstream-Vera" in told
    for words in ("Apache License", "SIL OPEN FONT LICENSE", "Bitstream Vera Fonts Copyright"):
        assert any(words in text for name, text in texts.items() if ".dist-info/licenses/" in name), words
    for font in (*SOURCE.glob("web/static/fonts/*.woff2"), *SOURCE.glob("bundled/fonts/*.ttf")):
        named = {"inter": "== inter", "mono": "== jetbrains-mono", "serif": "== source-serif-4"}.get(
            font.stem, font.name
        )
        assert named in (font.parent / "LICENSE").read_text(encoding="utf-8")


def test_the_same_source_makes_the_same_bytes(built: Built, tmp_path: Path) -> None:
    again = build(tmp_path, TZ="Pacific/Kiritimati", LC_ALL="C", PYTHONHASHSEED="7")
    assert again.wheel.read_bytes() == built.wheel.read_bytes()
    assert again.sdist.read_bytes() == built.sdist.read_bytes()


def test_what_is_released_is_no_larger_than_promised(built: Built) -> None:
    assert built.wheel.stat().st_size <= MOST_WHEEL
    assert built.sdist.stat().st_size <= MOST_SDIST
    static = [
        path for path in (SOURCE / "web" / "static").rglob("*") if path.suffix in (".js", ".css", ".woff2", ".svg")
    ]
    assert sum(path.stat().st_size for path in static) <= MOST_STATIC
    assert max(path.stat().st_size for path in static if path.suffix == ".js") <= MOST_SCRIPT


def test_an_installed_core_is_no_larger_than_promised(built: Built) -> None:
    bytes_ = built.wheel.stat().st_size
    for name in locked("requirements.lock") - {"colorama", "tzdata", "httpx2-jsfetch"}:  # those are for other systems
        bytes_ += sum(file.size or 0 for file in distribution(name).files or ())
    assert bytes_ <= MOST_CORE


def modules_after(code: str) -> set[str]:
    """The modules that this code imports, beyond those of Python's own start."""
    tell = "import sys\nbefore = set(sys.modules)\n{}\nprint('\\n' + ' '.join(set(sys.modules) - before))"
    words = [sys.executable, "-c", tell.format(code)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE.parent)})
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\n\n")[2].split() if "\n\n" in done.stdout else done.stdout.split())


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("import reroll", 35),
        ("import runpy\nsys.argv = ['reroll', '--help']\ntry: runpy.run_module('reroll', run_name='__main__')\n"
         "except SystemExit: pass", 250),
    ],
    ids=["import reroll", "reroll --help"],
)  # fmt: skip
def test_starting_imports_little_and_nothing_heavy(code: str, most: int) -> None:
    found = modules_after(code)
    assert {name.partition(".")[0] for name in found} & HEAVY == set()
    assert len(found) <= most, sorted(found)


def test_the_workflow_for_a_fork_runs_what_we_run_on_every_python_that_is_promised() -> None:
    told = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    job = told["jobs"]["test"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    run = [step["run"].split()[:2] for step in job["steps"] if "run" in step]
    assert run == [["make", "lint"], ["make", "test"]]
    assert {word for _, word in run} <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    promised = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert job["strategy"]["matrix"]["python"] == promised
    assert told["permissions"] == {"contents": "read"}


def weaknesses(of: str) -> type[BaseHTTPRequestHandler]:
    """What answers as osv.dev does, and knows one weakness, of this package."""

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            affected = {"package": {"name": of, "ecosystem": "PyPI"}, "versions": [asked["version"]]}
            known = {"id": "PYSEC-0-0", "affected": [affected], "published": "2026-01-01T00:00:00Z"}
            body = json.dumps({"vulns": [known]} if asked["package"]["name"] == of else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    return Advisories


@pytest.mark.skipif(not (ROOT / ".venv-release/bin/pip-audit").exists(), reason="`make audit` installs pip-audit")
@pytest.mark.parametrize(("weak", "code"), [("jinja2", 2), ("none-of-ours", 0)])
def test_the_audit_fails_where_a_locked_version_has_a_known_weakness(weak: str, code: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), weaknesses(weak)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = f"AUDIT_WITH=-s osv --osv-url http://127.0.0.1:{server.server_port}"
        done = subprocess.run(["make", "audit", told], cwd=ROOT, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == code, done.stderr
    assert ("PYSEC-0-0" in done.stdout) == bool(code)
