"""The answer on a screen: says what it must, fits, and lets nothing foreign through."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from reroll.answer import Answer, CertifySection, Cost, LuckSection, NotExamined, Price, Rate, Reference, ShownSample
from reroll.evidence import Est, interval
from reroll.models.model import Capabilities
from reroll.render.svg import answer_svg
from reroll.render.terminal import show_answer, show_capabilities, show_certify, show_luck, show_sample, show_samples
from reroll.sample import Token, Usage
from reroll.words import reply

WIDTHS = (60, 80, 100, 120)
LATER = NotExamined("reroll does not screen parts yet", Price(400, 0.0))
UNKNOWN = NotExamined("this model does not tell how likely its tokens are", Price(None, None))
RIGHT = '{"title": "Lunch with Ana", "date": "2026-11-27", "time": "12:00"}'
WRONG = '{"title": "Lunch with Ana", "date": "2026-11-30", "time": "12:00"}'
WRONG_DATE = (37, 47)

HOSTILE = (
    "[bold red]not markup[/] \x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ \x07 "
    "\u202egnp.exe\u202c a\u200bb \r overwritten \x9b2J \ud800 \u2028 Z\u0300\u0301\u0302\u0303\u0304\u0305 \x00\t"
    "日本語 👩‍👩‍👧"
)


def rate(failures: int, n: int, invalid: int = 0, alpha: float = 0.05) -> Rate:
    judged = n - invalid
    low = interval(failures, n, alpha)[0] if n else 0.0
    high = interval(failures + invalid, n, alpha)[1] if n else 1.0
    return Rate(failures, n, invalid, failures / judged if judged else None, low, high, alpha)


def luck(verdict: Any, found: Rate, reference: Reference, calls_needed: int | None = None) -> LuckSection:
    works = None if found.estimate is None else 1 - found.estimate
    est = Est(works, 1 - found.high, 1 - found.low, found.n)
    return LuckSection(verdict, found, reference.rate, 3.2, est, reference, 0.05, calls_needed, 0.05)


def certify(verdict: Any, found: Rate, claim: float | None, calls_needed: int | None) -> CertifySection:
    return CertifySection(verdict, 0.99, "case", found, claim, calls_needed, None, 0.05)


def answer(section: Any, target: Any, outcomes: tuple[Any, ...], **more: Any) -> Answer:
    base = Answer(
        report={"words": "I tried it and it booked the wrong Friday", "by": "ana", "at": "2026-11-22", "saw": WRONG},
        case={"id": "next-friday", "input": {"request": "Lunch with Ana next Friday at noon"}, "set": "case"},
        program={"program": "meetings"},
        model="bundled",
        luck=section,
        certify=target,
        cause=LATER,
        dud=LATER,
        surprise=UNKNOWN,
        fixes=(),
        cost=Cost(len(outcomes), 120, len(outcomes) + 120, 18_211, 4_031, 0.0, 41.3, 20),
        caveats=("The check `right-date` was written after the first runs were seen.",),
        text=reply(section, target),
        alpha_total=0.15,
        outcomes=outcomes,
        samples=(
            ShownSample("s1:09ab", "fail", "right-date: date is 2026-11-30, not 2026-11-27", WRONG, (WRONG_DATE,), 5),
            ShownSample("s1:77f0", "fail", "shape: not JSON", "Sure! I have booked your lunch.", ((0, 5),)),
            ShownSample("s1:1c22", "pass", "", RIGHT, (), 8),
        ),
        stopped="Stopped because both questions were answered.",
    )
    return replace(base, **more)


def outcomes(pattern: str) -> tuple[Any, ...]:
    return tuple({".": "pass", "x": "fail", "?": "invalid"}[c] for c in pattern)


def counted(found: tuple[Any, ...]) -> Rate:
    return rate(found.count("fail"), len(found), found.count("invalid"))


CONTROLS = Reference(0.036, "controls", 1, 120, 0.05)


def worse() -> Answer:
    runs = outcomes("x..xx..x...x.x")
    found = counted(runs)
    return answer(luck("worse_than_reference", found, CONTROLS), certify("not_met", found, 0.31, 0), runs)


def bad_luck() -> Answer:
    runs = outcomes("." * 70 + "x" + "." * 25)
    found = counted(runs)
    return answer(luck("bad_luck", found, CONTROLS), certify("undecided", found, 0.94, 480), runs)


def not_reproduced() -> Answer:
    runs = outcomes("." * 96)
    found, given = counted(runs), Reference(0.02, "given")
    target = NotExamined("no target was named", Price(300, 0.42))
    return answer(luck("not_reproduced", found, given), target, runs, caveats=(), samples=())


def undecided() -> Answer:
    runs = outcomes("..x?..?.")
    found = counted(runs)
    section = luck("undecided", found, Reference(None, "none"), 40)
    lost = ShownSample("s1:dead", "invalid", "the server did not answer within 60 s", "")
    cost = Cost(8, 0, 11, None, None, None, 75.2)
    return answer(section, certify("undecided", found, None, None), runs, samples=(lost,), cost=cost)


def nothing() -> Answer:
    found = rate(0, 0)
    section = luck("undecided", found, Reference(None, "none"))
    return answer(section, LATER, (), samples=(), report={}, case={"id": "c"}, stopped="The budget was 0 calls.")


def unexamined() -> Answer:
    return answer(LATER, UNKNOWN, (), samples=(), text="", caveats=())


def long_strip() -> Answer:
    runs = outcomes(("." * 17 + "x..?x" + "." * 9) * 40)
    found = counted(runs)
    return answer(luck("worse_than_reference", found, CONTROLS), certify("not_met", found, 0.8, 0), runs)


def hostile() -> Answer:
    bad = ShownSample("s\x1b[2J", "fail", HOSTILE, HOSTILE * 40, ((0, 10), (900, 910), (-5, 3), (5, 10**9)), 3)
    big = ShownSample("s1:big", "fail", "too long", "word " * 400_000, ((1_000_000, 1_000_004),))
    tall = ShownSample("s1:tall", "pass", "", "\n" * 5000 + "end", ((5000, 5003),))
    base = worse()
    return replace(
        base,
        report={"words": HOSTILE, "by": HOSTILE, "saw": HOSTILE * 9},
        case={"id": HOSTILE, "input": {"request": HOSTILE, HOSTILE: [HOSTILE]}},
        program={"program": HOSTILE},
        model=HOSTILE,
        samples=(bad, big, tall),
        caveats=(HOSTILE,),
        text=HOSTILE,
        stopped=HOSTILE,
        cause=NotExamined(HOSTILE, Price(1, None)),
    )


STATES = {f.__name__: f for f in (worse, bad_luck, not_reproduced, undecided, nothing, unexamined, long_strip, hostile)}


def printed(show: Any, width: int = 100, encoding: str = "utf-8", terminal: bool = False, **env: str) -> str:
    """What a function prints on a console of that width and encoding."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else "auto", _environ=env
    )
    show(console)
    file.flush()
    return raw.getvalue().decode(encoding)


def page(state: str, **how: Any) -> str:
    return printed(lambda console: show_answer(STATES[state](), console), **how)


def harmless(text: str) -> None:
    for char in text:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(char)


@pytest.mark.parametrize("width", [*WIDTHS, 24, 40])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_no_line_is_wider_than_the_console_or_steers_it(state: str, width: int, encoding: str) -> None:
    text = page(state, width=width, encoding=encoding)
    harmless(text)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    if encoding != "utf-8":
        assert not set("●✗├◆▲┃█") & set(text)
    if encoding == "ascii":
        assert text.isascii()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_says_what_it_must(width: int) -> None:
    text = " ".join(re.sub(r"[│┃]", "", page("worse", width=width)).split())
    for words in (
        "✗ Not just bad luck",
        "✗ Not 99 % reliable",
        "I tried it and it booked the wrong Friday",
        "Lunch with Ana next Friday at noon",
        "43 % (",
        "3.6 %",
        "1 of 120 controls",
        "● 8 passed",
        "✗ 6 failed",
        "works at least 31 % of the time",
        "said 5 times",
        "2026-11-30",
        "reroll does not screen parts yet (about 400 calls, $0.00)",
        "was written after the first runs were seen",
        "14 calls · 120 control calls · 20 reused",
        "18,211 tokens in, 4,031 out",
        "$0.00 · 41.3 s",
        "that anything here is, ranges too, of at most 15 %.",
    ):
        assert words in text, words
    assert worse().text in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("bad_luck", ["● Fits plain bad luck", "◐ 99 % reliable? Not known yet", "about 480 more calls"]),
        ("not_reproduced", ["● Could not be reproduced", "2 % given", "no target was named (about 300"]),
        (
            "undecided",
            ["◐ Nothing to compare it with", "? 2 could not be judged", "no end in sight", "tokens unknown"],
        ),
        ("nothing", ["no run yet", "The budget was 0 calls."]),
        ("unexamined", ["◐ Not examined", "How often it fails, ", "reroll does not screen parts yet"]),
        ("long_strip", ["each column is 13 runs", "? 40 could not be judged"]),
        (
            "hostile",
            ["[bold red]not markup[/]", "<U+202E>", "<ESC>]8;;http://evil", "more characters", "<U+200B>"],
        ),
    ],
)
def test_each_state_has_its_words(state: str, words: list[str]) -> None:
    text = " ".join(page(state).split())
    for expected in words:
        assert expected in text, expected


def test_megabytes_become_a_page() -> None:
    assert len(page("hostile").splitlines()) < 160


def test_the_mark_is_shown_however_far_down_it_is() -> None:
    sample = ShownSample("s", "fail", "", "a " * 5000 + "NEEDLE" + " b" * 5000, ((10_000, 10_006),))
    text = printed(lambda console: show_samples([sample], console))
    assert "NEEDLE" in text
    assert "characters before …" in text
    assert "more characters" in text


def test_marks_are_bold_and_underlined() -> None:
    text = printed(lambda console: show_samples(worse().samples, console), terminal=True)
    assert re.search(r"\x1b\[1;4;[0-9;]+m2026-11-30\x1b\[0m", text)


@pytest.mark.parametrize("state", STATES)
def test_colour_only_where_a_terminal_wants_it(state: str) -> None:
    assert "\x1b[" in page(state, terminal=True)
    assert "\x1b" not in page(state)
    uncoloured = page(state, terminal=True, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|38;|9[0-7]|4[0-7]|48;)", uncoloured)


def test_the_only_escapes_on_a_terminal_are_styles() -> None:
    text = page("hostile", terminal=True)
    harmless(re.sub(r"\x1b\[[0-9;]*m", "", text))


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(codec=None), max_size=300),
    marks=st.lists(st.tuples(st.integers(-5, 400), st.integers(-5, 400)), max_size=4),
    width=st.sampled_from([20, 60, 100]),
    encoding=st.sampled_from(["utf-8", "ascii", "cp437"]),
)
def test_any_completion_is_shown_inert(text: str, marks: list[tuple[int, int]], width: int, encoding: str) -> None:
    sample = ShownSample(text[:9], "fail", text[:40], text, tuple(marks))
    out = printed(
        lambda console: show_sample(
            sample,
            console,
            messages=[{"role": text[:5], "content": text}],
            tokens=[Token(text[:8], -1.0, ((text, -2.0),))],
        ),
        width=width,
        encoding=encoding,
    )
    harmless(out)
    assert max(cell_len(line) for line in out.splitlines()) <= width


def test_rerun_alone() -> None:
    a = worse()
    assert isinstance(a.luck, LuckSection)
    text = printed(lambda c: show_luck(a.luck, c, case_id="next-friday", outcomes=a.outcomes, cost=a.cost))
    for words in (
        "Not just bad luck",
        "next-friday failed 6 of 14 runs",
        "A second try works",
        "● 8 passed",
        "14 calls",
    ):
        assert words in text
    assert "Not examined" in printed(lambda c: show_luck(LATER, c))


def test_controls_that_fail_themselves_are_shown_though_they_are_no_reference() -> None:
    section = luck("undecided", rate(4, 10), Reference(None, "controls", 32, 32, 0.05))
    text = printed(lambda c: show_luck(section, c, outcomes=outcomes("..x"), stopped="nothing to compare with"))
    assert re.search(r"Usual failure rate .*at most 100 % +32 of 32 controls", text)
    assert "Stopped: nothing to compare with." in text


def test_where_too_few_controls_were_run_no_limit_is_shown() -> None:
    section = luck("undecided", rate(3, 27), Reference(None, "controls", 0, 9, 0.05, thorough=False))
    text = printed(lambda c: show_luck(section, c, outcomes=outcomes("..x")))
    assert re.search(r"Usual failure rate .*not known yet +0 of 9 controls", text)


def test_certify_alone() -> None:
    a = bad_luck()
    text = printed(lambda c: show_certify(a.certify, c, case_id="next-friday", outcomes=a.outcomes))
    for words in ("◐ 99 % reliable? Not known yet", "99 % target allows", "works at least 94 % of the time"):
        assert words in text
    assert "no target" in printed(lambda c: show_certify(NotExamined("no target", Price(None, None)), c))


def test_a_bar_never_contradicts_the_verdict_beside_it() -> None:
    runs = outcomes("." * 600)
    met = replace(certify("met", counted(runs), 0.99, 0), rate=replace(counted(runs), high=0.013))
    text = printed(lambda c: show_certify(met, c, outcomes=runs))
    assert "0 % (0–1 %)" in text
    assert "none, it is decided" in text


def test_a_sample_in_full() -> None:
    tokens = [Token("2026", -0.01), Token(" next", -0.7, ((" next", -0.7), (" this", -0.8))), Token("\n", -1e9)]
    messages = [
        {"role": "system", "content": "Answer with JSON."},
        {"role": "user", "content": [{"type": "text", "text": "Lunch"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t1"}]},
    ]
    text = printed(lambda c: show_sample(worse().samples[0], c, messages=messages, tokens=tokens))
    for words in (
        "Answer with JSON.",
        '"text": "Lunch"',
        "tool_calls",
        "␣next  50 %",
        "instead of ␣this (45 %)",
        "less than",
    ):
        assert words in text, words
    assert "1 token at least 95 % likely not shown" in text
    assert "What it took" not in text
    text = printed(lambda c: show_sample(worse().samples[0], c, usage=Usage(1200, 30, 0.25, 1000)))
    assert "1,200 tokens in (1,000 from a cache), 30 out · $0.25" in text
    text = printed(lambda c: show_sample(worse().samples[0], c, usage=Usage(0, 0, 0.0), choice=2))
    assert "Completion 3 of its call: what it took is with the first" in text
    silent = printed(lambda c: show_sample(worse().samples[0], c, tokens=[Token("a")]))
    assert "does not tell" in silent


def test_capabilities_say_yes_no_or_not_tried() -> None:
    can = Capabilities(n=True, seed=False, logprobs=20, notes=("Seeds are ignored by this server.",))
    text = printed(lambda c: show_capabilities("openai:gpt-x", can, c))
    for words in ("openai:gpt-x", "yes, 20 alternatives each", "not tried", "Seeds are ignored"):
        assert words in text
    assert re.search(r"a seed per call +no\n", text)


def test_no_samples_says_so() -> None:
    assert printed(lambda c: show_samples([], c)) == "No samples.\n"


@pytest.mark.parametrize("state", STATES)
def test_the_svg_is_whole_and_needs_nothing_from_anywhere(state: str) -> None:
    svg = answer_svg(STATES[state]())
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    addresses = re.findall(r"https?://[^\s\"<&]+", svg)
    assert {a for a in addresses if "evil" not in a} == {"http://www.w3.org/2000/svg"}
    for word in ("@font-face", "@import", "<script", "href"):
        assert word not in svg
    assert svg == answer_svg(STATES[state]())


def test_wide_letters_keep_their_width_in_the_svg() -> None:
    svg = answer_svg(replace(worse(), text="日本語"))
    wide = re.search(r'textLength="([0-9.]+)"[^>]*>&#160;&#160;日本語<', svg)
    assert wide is not None
    assert float(wide[1]) == pytest.approx(8 * 12.2)
