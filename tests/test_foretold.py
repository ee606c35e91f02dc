"""A verdict read from the model's own probabilities: by the real commands, with servers that keep their word or not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reroll.init import init_project
from reroll.models.local import bundled_file
from tests.background import in_background, reroll, write_project
from tests.between import between
from tests.fake_server import answer

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this machine")
if not bundled_file().exists():
    pytest.skip("the bundled model is not in this checkout", allow_module_level=True)

Capsys = Any
SURE = "params: {temperature: 0.4, max_tokens: 96}"
TOLD = "params: {temperature: 0.4, top_k: 0, top_p: 1, min_p: 0, repeat_penalty: 1, max_tokens: 96}"


def meetings(folder: Path, url: str = "", more: str = "", params: str = SURE) -> Path:
    """The example project, at a temperature at which most of its cases hardly ever fail."""
    init_project(folder)
    file = folder / "program.yaml"
    text = re.sub(r"params: .*", params, file.read_text()) + more
    if url:
        text = text.replace("model: bundled ", f"model: openai:bundled\nbase_url: {url}/v1\n#")
    file.write_text(text)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meetings(tmp_path_factory.mktemp("meetings"))


def certify(capsys: Capsys, home: Path, case: str, *more: object) -> Any:
    """What it says; seeded, so that no run of the tests differs from another by chance."""
    seed = () if "--seed" in more else ("--seed", 1)
    ran = reroll(capsys, "certify", case, "--project", home, "--quiet", "--json", *seed, *more)
    assert ran.code in (0, 1, 3), ran.err
    return ran.json


def test_a_case_that_hardly_fails_is_certified_by_a_few_calls_that_say_on_which_condition(
    home: Path, capsys: Capsys
) -> None:
    found = certify(capsys, home, "clear-friday", "--target", "0.99")
    assert found["verdict"] == "met"
    assert found["rate"]["method"] == "enumeration"
    assert found["rate"]["high"] < 0.01
    assert found["claim_today"] == 0.99, "no more than was asked, however little is left open"
    assert found["reading"]["checked"] == found["rate"]["n"] >= 60
    assert found["cost"]["calls"] == found["rate"]["n"] + found["reading"]["calls"] <= 80, "355 runs would show it"
    assert found["reading"]["runs_instead"] >= 300
    (said,) = [c for c in found["caveats"] if "enumeration" in c]
    assert "if the server's probabilities are those that it samples from" in said
    assert f"checked by {found['rate']['n']} runs" in said


def test_the_same_command_again_makes_no_call_and_says_the_same(home: Path, capsys: Capsys) -> None:
    first = certify(capsys, home, "clear-tomorrow", "--target", "0.99")
    again = certify(capsys, home, "clear-tomorrow", "--target", "0.99")
    assert again["cost"]["calls"] == 0
    assert (again["verdict"], again["rate"]) == (first["verdict"], first["rate"])


def test_sampling_is_what_one_gets_who_asks_for_it(home: Path, capsys: Capsys) -> None:
    found = certify(capsys, home, "clear-thursday", "--method", "sampling", "--budget", "60")
    assert found["verdict"] == "undecided"
    assert found["rate"]["method"] == "sampling"
    assert found["reading"] is None
    assert found["cost"]["calls"] == 60


def test_a_rate_that_runs_hardly_tell_from_the_target_is_read(home: Path, capsys: Capsys) -> None:
    found = certify(capsys, home, "next-friday", "--target", "0.77", "--seed", "2")
    assert found["verdict"] == "met", "it fails in 18 % of runs"
    assert found["rate"]["method"] == "enumeration"
    assert found["cost"]["calls"] <= 100
    sampled = certify(capsys, home, "next-friday", "--target", "0.77", "--seed", "2", "--method", "sampling")
    assert sampled["cost"]["calls"] > 100
    assert sampled["rate"]["low"] <= found["rate"]["estimate"] <= sampled["rate"]["high"]


def test_luck_is_read_too_and_the_reply_says_how(tmp_path: Path, capsys: Capsys) -> None:
    home = meetings(tmp_path / "m", more="\nreference_rate: 0.01\n")
    ran = reroll(capsys, "investigate", "--case", "clear-friday", "--project", home, "--quiet", "--json", "--seed", 1)
    found = ran.json
    assert found["luck"]["verdict"] in ("bad_luck", "not_reproduced")
    assert found["luck"]["rate"]["method"] == "enumeration"
    assert "read from the model's own probabilities" in found["text"]
    assert found["certify"]["verdict"] == "met"
    assert len(found["outcomes"]) == found["luck"]["rate"]["n"]
    page = reroll(capsys, "investigate", "--case", "clear-friday", "--project", home, "--quiet", "--seed", 1).out
    assert "%, if the server samples from the probabilities that it lists." in " ".join(page.split())


def test_the_page_says_what_its_range_rests_on(home: Path, capsys: Capsys) -> None:
    ran = reroll(capsys, "certify", "clear-friday", "--target", "0.99", "--project", home, "--quiet", "--seed", 1)
    assert "if the server samples from the probabilities that it lists" in " ".join(ran.out.split())


def not_used(found: Any) -> str:
    """Why reading was given up, in an answer that rests on runs alone."""
    assert found["rate"]["method"] == "sampling"
    assert found["reading"] is None
    (said,) = [c for c in found["caveats"] if "not used" in c]
    return str(said)


def test_a_server_whose_chats_say_what_it_does_not_list_is_not_believed(tmp_path: Path, capsys: Capsys) -> None:
    chats = 0

    def spaced(said: Any) -> Any:
        """Every fourth chat says the same with a space more: right, and not among what is listed."""
        nonlocal chats
        for choice in said.get("choices") or [] if isinstance(said, dict) else []:
            if message := choice.get("message"):
                chats += 1
                message["content"] = message["content"].replace(",", ", ") if chats % 4 == 0 else message["content"]
        return said

    with between(reply=spaced) as url:
        home = meetings(tmp_path / "m", url, params=TOLD)
        found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "150")
    assert found["rate"]["failures"] == 0
    assert "do not say what they should" in not_used(found)


def test_what_a_server_may_cut_off_by_itself_is_not_taken_for_impossible(tmp_path: Path, capsys: Capsys) -> None:
    with between() as url:
        home = meetings(tmp_path / "m", url, params=SURE)
        found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "130")
        said = not_used(found)
        assert "top_k" in said
        assert "left to the server, and may cut off what fails; name them in the program's params" in said
        told = []
        for seed in (1, 2):  # runs wrongly contradict what was read in one of a hundred, and are not the same each time
            home = meetings(tmp_path / f"told{seed}", url, params=TOLD)
            told.append(certify(capsys, home, "clear-friday", "--target", "0.98", "--seed", seed))
            if told[-1]["rate"]["method"] == "enumeration":
                break
        assert told[-1]["rate"]["method"] == "enumeration", [found["caveats"] for found in told]


def test_checks_that_say_this_and_that_of_the_same_answer_are_not_read_for(tmp_path: Path, capsys: Capsys) -> None:
    home = meetings(tmp_path / "m")
    (home / "luck.py").write_text(
        "count = 0\n\ndef lucky(sample, case):\n    global count\n    count += 1\n    return count % 33 != 0\n"
    )
    cases = (home / "cases.yaml").read_text().replace("checks:", "checks:\n      - {name: luck, python: luck:lucky}")
    (home / "cases.yaml").write_text(cases)
    found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "100")
    assert "the checks do not always say the same of the same answer" in not_used(found)


def test_lists_that_are_no_probabilities_end_in_runs_not_in_an_error(tmp_path: Path, capsys: Capsys) -> None:
    def louder(said: Any) -> Any:
        for choice in said.get("choices") or [] if isinstance(said, dict) else []:
            for token in (choice.get("logprobs") or {}).get("content") or []:
                for one in (token, *token["top_logprobs"]):
                    one["logprob"] *= 0.9
        return said

    with between(reply=louder) as url:
        home = meetings(tmp_path / "m", url, params=TOLD)
        found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "120")
    assert "no probabilities" in not_used(found)
    assert found["cost"]["calls"] <= 120


def test_a_server_that_lists_nothing_takes_two_calls_not_the_budget(tmp_path: Path, capsys: Capsys) -> None:
    def silent(said: Any) -> Any:
        for choice in said.get("choices") or [] if isinstance(said, dict) and silent.on else []:
            if "message" not in choice:
                choice.update(text="", logprobs=None)
        return said

    silent.on = False
    with between(reply=silent) as url:
        home = meetings(tmp_path / "m", url, params=TOLD)
        reroll(capsys, "doctor", "openai:bundled", "--base-url", f"{url}/v1", "--project", home)
        silent.on = True
        found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "150")
    assert found["rate"]["n"] >= 140, "the budget goes into runs"


def test_a_budget_that_reading_fits_into_is_enough(home: Path, capsys: Capsys) -> None:
    found = certify(capsys, home, "next-monday", "--target", "0.99", "--budget", "75")
    assert (found["verdict"], found["rate"]["method"]) == ("met", "enumeration")


def test_what_is_put_before_chats_alone_shows_in_what_their_runs_say(tmp_path: Path, capsys: Capsys) -> None:
    def otherwise(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if not path.endswith("/chat/completions"):
            return body
        *before, last = body["messages"]
        other = last["content"].replace("Lena", "Lena and Tom")
        return {**body, "messages": [*before, {**last, "content": other}]}

    with between(otherwise) as url:
        home = meetings(tmp_path / "m", url, params=TOLD)
        file = home / "cases.yaml"
        file.write_text(re.sub(r"attendees: \[Lena\]", "attendees: [Lena, Tom]", file.read_text()))
        found = certify(capsys, home, "clear-friday", "--target", "0.98", "--budget", "120")
    assert found["rate"]["failures"] == 0
    assert "do not say what they should" in not_used(found)


def test_a_server_that_does_not_continue_is_sampled_as_ever(tmp_path: Path, capsys: Capsys) -> None:
    with in_background(answer("yes")) as (server, url):
        home = write_project(tmp_path / "p", url)
        found = certify(capsys, home, "greet", "--target", "0.95")
        assert found["verdict"] == "met"
        assert found["rate"]["method"] == "sampling"
        assert len(server.bodies) == found["cost"]["calls"], "not one call to find out what it can do"


def test_answers_that_are_too_many_to_list_are_given_up_after_a_few_calls(tmp_path: Path, capsys: Capsys) -> None:
    for seed in range(20):  # until one is not turned down by its first runs: an empty answer fails
        home = meetings(tmp_path / str(seed), params='params: {temperature: 3, max_tokens: 96, stop: ["e", "a", "t"]}')
        (home / "cases.yaml").write_text(
            "cases:\n  - {id: babble, input: {request: Say something}, checks: [{name: any, not: {contains: €}}]}\n"
        )
        found = certify(capsys, home, "babble", "--target", "0.97", "--budget", "75", "--seed", seed)
        if found["verdict"] == "undecided":
            break
    said = not_used(found)
    assert "too many and too unlikely" in said
    assert int(re.findall(r"in (\d+) calls?", said)[0]) <= 6
