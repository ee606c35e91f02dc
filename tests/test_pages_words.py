"""The words' page: the glossary of the docs, each word at an address that pages link to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reroll.web import app
from reroll.web.access import Access
from reroll.web.pages_words import glossary
from reroll.web.passes import Passes
from tests.pages import home_in

TEMPLATES = Path(app.__file__).parent / "templates"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with home_in(tmp_path / "meetings") as home:
        access = Access(Passes(home.secret), home.store, clock=lambda: 1_800_000_000.0)
        made = TestClient(app.create_app(home, access), base_url="http://127.0.0.1:8585")
        made.get(f"/?token={access.passes.link(1_800_000_000.0)}")
        yield made


def test_every_page_leads_to_the_words_and_they_are_those_of_the_docs(client: TestClient) -> None:
    assert 'href="/words"' in client.get("/").text
    said = client.get("/words").text
    docs = (Path(__file__).parent.parent / "docs" / "words.md").read_text(encoding="utf-8")
    words = [one for part in glossary() for one in part.words]
    assert len(words) == len(re.findall(r"^\| \*\*", docs, re.MULTILINE))
    assert said.count("<dt id=") == len(words)
    assert "<code>program.yaml</code>" in said


def test_every_word_has_an_address_of_its_own_and_every_link_to_one_leads_there() -> None:
    places = [one.place for part in glossary() for one in part.words]
    assert len(set(places)) == len(places)
    linked = [place for file in TEMPLATES.glob("*.html") for place in re.findall(r"/words#([\w-]+)", file.read_text())]
    assert linked
    assert set(linked) <= set(places)
