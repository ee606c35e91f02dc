"""Pages about tokens, on any screen and as pictures: they say what they must, fit, and let nothing foreign through."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from reroll.agreement import Agreement
from reroll.answer import Cost
from reroll.check import Outcome
from reroll.conclude import rate_of
from reroll.dud_report import Alternative, CurvePoint, Dud, DudPrice
from reroll.evidence import Est, Evidence
from reroll.exploring import Explored
from reroll.foreseen import Foreseen
from reroll.forked import Forked
from reroll.futures import Future, Futures
from reroll.grouped import Grouped
from reroll.grouping import Grouping, Observed
from reroll.leaving import Paths
from reroll.looking import Parted
from reroll.noise import Noise
from reroll.render.foreseen import show_foreseen
from reroll.render.forked import show_forked
from reroll.render.grouped import show_grouped
from reroll.render.ink import Pen
from reroll.render.parted import show_parted
from reroll.render.png import OWN, png_of
from reroll.render.reworded import show_reworded
from reroll.render.strips import MOST_LINES, Piece, token_strip
from reroll.render.surprised import show_surprised
from reroll.render.svg import page_svg
from reroll.reworded import Dropped, Reworded, WordingRate
from reroll.sample import Completion, Sample
from reroll.surprise import Scored, ScoredToken
from reroll.surprised import Surprised
from reroll.tree import Branch
from reroll.wording_rounds import WordingsVerdict, spread_of
from tests.test_terminal import HOSTILE, harmless, printed

WIDTHS = (24, 40, 60, 80, 100, 140)
RIGHT = '{"date":"2026-11-27","time":"12:00","duration_min":60,"attendees":["Ana"]}'
WRONG = RIGHT.replace("27", "20")
COST = Cost(11, 0, 11, 800, 90, 0.0, 0.4)
AGREED = Agreement(True, 40, 900, 0.0, 0.01, None, ())

Show = Callable[[Console], None]


def future(text: str, outcome: str, prob: float) -> Future:
    return Future(text, outcome, "end", prob, prob, prob, 1, ())


def foreseen(*completions: Future, case: str = "next-friday", text: str = "It fails in 34–36 % of runs.") -> Foreseen:
    fail = sum(f.prob for f in completions if f.outcome == "fail")
    right = sum(f.prob for f in completions if f.outcome == "pass")
    rate = Est(fail, fail, min(1.0, fail + 0.02), 0)
    left = (1 - fail - right) / 2
    found = Futures(fail, right, 0.0, left, left, 0.0, rate, 11, 90, Noise(), completions)
    explored = Explored(found, rate, "enumeration", AGREED, True, "")
    return Foreseen(case, {}, "bundled@1", "A", explored, 11, 90, 9000, 1.0, COST, (text,), text, 0.05)


def forked(
    strip: Sequence[str], chances: Sequence[float | None], at: int | None, curve: Sequence[CurvePoint]
) -> Forked:
    """A completion whose token `at` is its dud; None: it has none."""
    some, none = Est(0.4, 0.3, 0.5, 12), Est(0.0, 0.0, 0.1, 12)
    found = at is not None
    token = strip[at - 1] if at is not None else None
    dud = Dud(
        "dud" if found else "slide", "A", "token", "", some, at, at, at, token, 0.55 if found else None,
        "trap" if found else None, some if found else None, none if found else None, some if found else None,
        some if found else None, (Alternative("19", 0.45, Est(0.95, 0.75, 0.999, 20), some),) if found else (),
        some if found else None, some if found else None, None, None, tuple(curve), 0.05, 1, 12, 48, 0, 0, 780,
    )  # fmt: skip
    return Forked(
        "s_1", "half-seven", {}, "bundled@1", "A", True, dud, DudPrice(1, 1, 1, 1), tuple(strip), tuple(chances),
        "the sample's own tokens", COST, (), "It went wrong there.", True,
    )  # fmt: skip


def surprised(*tokens: ScoredToken) -> Surprised:
    scored = Scored(-9.0, -9.0, -9.0, tokens, 1.0)
    at_least = Est(0.01, 0.0, 0.05, 60)
    return Surprised(
        "rare", scored, at_least, None, AGREED, "as it was given", None, "half-seven", {}, "bundled@1", COST, ("odd",),
        "It is rare.",
    )  # fmt: skip


def scored(text: str, prob: float, usual: str = "", low: float | None = None) -> ScoredToken:
    return ScoredToken(text, prob if low is None else low, prob, prob, 1, usual, 0.9 if usual else prob, prob < 0.05)


def branch(text: str, passes: int, fails: int, *inner: Branch, others: int = 0) -> Branch:
    n = passes + fails + others
    return Branch("b", text, 1, 0, n, passes, fails, 0, None if inner else "end", tuple(inner), others)


TOKENS = ('{"date":"', "2026", '-11-20","time":"', "18", ":30", '","duration_min":60,"attendees":["Omar"]}')
FALL = tuple(
    CurvePoint(*row) for row in ((0, 0.42, 0.3, 0.5), (3, 0.41, 0.28, 0.52), (4, 0.0, 0.0, 0.1), (6, 0.0, 0.0, 0.0))
)
SLOW = [CurvePoint(i, 1 - i / 300, 0.5 - i / 600, 1.0) for i in range(301)]
DEEP = branch('{"a":', 30, 30, branch(f"1{HOSTILE}", 30, 0), branch("2", 0, 28, branch("3", 0, 27), others=1), others=2)
for _ in range(20):  # deeper than any screen is wide
    DEEP = branch("and so on, and so forth, in many words", 30, 30, DEEP, branch("other", 1, 0))


def grouped(*said: str) -> Grouped:
    grouping, paths = Grouping(), Paths()
    paths.add(Completion(RIGHT))
    for k, text in enumerate(said):
        bad = Outcome("fail", f"date is {text}, expected {RIGHT}", text)
        called = ({"function": {"name": text}},) if k % 2 else ()
        one = Sample(Completion(text, "length", called))
        grouping.add(Observed(f"s_{k}", text, one, (bad,), text), paths)
    seen = grouping.evidence
    return Grouped(None, 2, seen.n, seen.passes, seen.failures, seen.invalid, 0.05, grouping.groups())


def reworded(*said: str, verdict: WordingsVerdict = "undecided") -> Reworded:
    words = tuple(
        WordingRate(text, "named", text, rate_of(["fail"] * k + ["pass"] * 9, 0.05), 4 if k == 2 else None, k == 3)
        for k, text in enumerate(said)
    )
    cells = [Evidence(one.rate.failures, one.rate.n) for one in words]
    return Reworded(
        verdict, said[0], {}, "bundled@1", words, spread_of(cells), 0.1, 70, 9, 400, 1.0, 2,
        (Dropped("s_1", "x", "y"),),
        (("fail",) * len(said), ("pass",) * len(said)) * 35, COST, (said[-1],), 0.05, 0.1, True, "it was decided",
    )  # fmt: skip


PAGES: dict[str, Show] = {
    "futures": lambda c: show_foreseen(
        foreseen(future(RIGHT, "pass", 0.63), future(WRONG, "fail", 0.34), future("Sure! " + RIGHT, "fail", 2e-7)), c
    ),
    "flat": lambda c: show_foreseen(foreseen(*(future(f"Answer {i}\n" * 9, "pass", 0.001) for i in range(40))), c),
    "nothing": lambda c: show_foreseen(foreseen(), c),
    "hostile futures": lambda c: show_foreseen(
        foreseen(future(HOSTILE, "pass", 0.6), future(HOSTILE[::-1] * 9, "invalid", 0.3), case=HOSTILE, text=HOSTILE), c
    ),
    "dud": lambda c: show_forked(forked(TOKENS, (0.99, 0.99, 0.99, 0.55, 0.9, None), 4, FALL), c),
    "slide": lambda c: show_forked(
        forked(["word "] * 300, [0.7] * 300, None, SLOW), c
    ),
    "hostile dud": lambda c: show_forked(
        forked([HOSTILE, HOSTILE * 9, "日本語" * 99], [0.2, 0.5, 1.0], 2, FALL[:2]), c
    ),
    "surprise": lambda c: show_surprised(
        surprised(scored("Sure", 0.006, '{"'), scored("!\n", 0.99), scored("18", 0.4), scored(" ", 1e-7, "x", 0.0)), c
    ),
    "hostile surprise": lambda c: show_surprised(surprised(*(scored(HOSTILE, 0.03, HOSTILE) for _ in range(30))), c),
    "tree": lambda c: show_parted(Parted("half-seven", "words", 60, DEEP), c),
    "groups": lambda c: show_grouped(grouped(WRONG, WRONG, "Sure! " + RIGHT, "日本語" * 99, HOSTILE, HOSTILE * 9), c),
    "no groups": lambda c: show_grouped(Grouped("x", 1, 3, 3, 0, 0, 0.05, ()), c),
    "wordings": lambda c: show_reworded(reworded("baseline", HOSTILE, HOSTILE * 9, "日本語" * 99, "plain"), c),
    "wordings that differ": lambda c: show_reworded(reworded("baseline", "plain", "other", verdict="differ"), c),
    "wordings alike": lambda c: show_reworded(reworded("baseline", "plain", verdict="no_different"), c),
}  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_no_line_of_a_page_about_tokens_is_wider_than_the_console_or_steers_it(
    name: str, width: int, encoding: str
) -> None:
    text = printed(PAGES[name], width=width, encoding=encoding)
    harmless(text)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    if encoding != "utf-8":
        assert not set("●✗├└━╸▲▄░┓") & set(text)
    if encoding == "ascii":
        assert text.isascii()


def rows(text: str, title: str) -> list[str]:
    """The lines of a page below one of its titles."""
    return re.split(r"\n\n", text[text.index(title) :])[0].splitlines()[1:]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_row_of_futures_is_never_broken_in_its_middle(width: int) -> None:
    text = printed(PAGES["futures"], width=width)
    masses = rows(text, "Where the probability is")
    assert [re.sub(r"[━╸ ]{2,}", "  ", row).split("%")[1].strip() for row in masses] == [
        "fails for sure", "succeeds for sure", "not followed", "not listed by the server",
    ]  # fmt: skip
    said = rows(text, "What it can say")
    heads = [row for row in said if re.match(r"   [●✗] ", row)]
    assert [re.search(r"[\d.]+ %|1 in [\d,]+", row)[0] for row in heads] == ["63 %", "34 %", "1 in 5,000,000"]  # type: ignore[index]
    bars = [row.count("━") + row.count("╸") / 2 for row in heads]
    assert bars == [7.5, 4, 0.5]
    if width == 40:  # the words below their bar, as much of them as fits
        words = [row for row in said if row not in heads]
        assert [cell_len(row) for row in words] == [39, 39, 39]
        assert words[2].strip().startswith('Sure! {"date"')
    else:
        assert len(said) == 3
        assert '{"date"' in heads[0]


def test_the_words_in_which_a_future_differs_are_marked_and_only_these() -> None:
    other = '{"date":"2026-11-20","time":"12:00","duration_min":30,"attendees":[]}'
    shown = foreseen(future(RIGHT, "pass", 0.6), future(other, "fail", 0.2), future('{"date":"2026', "fail", 0.1))
    text = printed(lambda c: show_foreseen(shown, c), terminal=True)
    orange = r"\x1b\[1;38;2;217;115;13m(.*?)\x1b\[0m"
    lines = [re.findall(orange, line) for line in text.splitlines() if "time" in line or "ends" in line]
    assert lines == [[], ["✗ ", "20", "30", "]"], ["✗ ", " (ends)"]]


def test_bars_of_a_flat_distribution_have_a_scale_of_their_own_that_is_named() -> None:
    text = printed(PAGES["flat"])
    said = rows(text, "What it can say")
    assert said[0].count("━") == 12
    assert said[-1].strip() == "the longest of these bars is 0.1 %"
    assert "and 28 completions more" in text


@pytest.mark.parametrize("width", [40, 100])
def test_the_step_and_the_mark_stand_under_the_dud(width: int) -> None:
    lines = printed(PAGES["dud"], width=width).splitlines()
    at = next(i for i, line in enumerate(lines) if "18" in line and "date" in line)
    column = lines[at].index("18")
    assert lines[at + 1].strip() == "▄▄▁▁▁"
    assert lines[at + 1].index("▄") == column
    assert lines[at + 2].index("▲▲") == column
    assert lines[at + 2].replace("▲▲", "").strip() == "here it went wrong"


def test_steps_stand_under_their_tokens_though_letters_are_wide() -> None:
    pieces = [
        Piece("来週の"),
        Piece("金曜日", 8, marked=True),
        Piece(" e\u0301"),
        Piece("x", 2),
        Piece("\n"),
        Piece("y", 1),
    ]
    lines = printed(lambda c: Pen(c).put(token_strip(pieces, Pen(c)))).splitlines()
    assert lines == ["   来週の金曜日 e\u0301x⏎", "         ██████  ▂", "         ▲▲▲▲▲▲", "   y", "   ▁"]


def test_a_line_of_the_strip_is_broken_before_a_token_and_within_one_only_where_it_is_too_long() -> None:
    pieces = [Piece("a" * 20), Piece("b" * 10), Piece("c" * 50)]
    lines = printed(lambda c: Pen(c).put(token_strip(pieces, Pen(c))), width=30).splitlines()
    assert lines == ["   " + "a" * 20, "   " + "b" * 10, "   " + "c" * 26, "   " + "c" * 24]


def test_of_a_long_completion_the_dud_is_shown_however_far_down_it_is_and_what_is_left_out_is_counted() -> None:
    strip, chances = [f"word{i} " for i in range(2000)], [1.0] * 2000
    strip[1500], chances[1500] = "However ", 0.3
    text = printed(lambda c: show_forked(forked(strip, chances, 1501, FALL), c))
    said = rows(text, "What it said")
    assert len(said) <= 2 * MOST_LINES + 4
    where = next(i for i, line in enumerate(said) if "However" in line)
    assert "▲▲▲▲▲▲▲ here it went wrong" in said[where + 2]
    kept = sum("word" in line for line in said)
    left = sum(int(n.replace(",", "")) for n in re.findall(r"… ([\d,]+) lines? …", text))
    whole = printed(lambda c: Pen(c).put(token_strip([Piece(t) for t in strip[:90]], Pen(c)))).count("\n")
    assert left > 100
    assert kept + left >= whole


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=12),
    width=st.integers(20, 120),
)
def test_any_tokens_make_a_strip_that_fits_and_holds_all_of_them(texts: list[str], width: int) -> None:
    pieces = [Piece(t, i % 9) for i, t in enumerate(texts)]
    out = printed(lambda c: Pen(c).put(token_strip(pieces, Pen(c))), width=width)
    harmless(out)
    assert all(cell_len(line) <= width for line in out.splitlines())
    assert (
        "".join(re.findall(r"[a-zA-Z]", re.sub(r"<[^>]*>|lines?", "", out)))
        == "".join(re.findall(r"[a-zA-Z]", re.sub(r"<[^>]*>|lines?", "", "".join(texts))))
        or len(out.splitlines()) > MOST_LINES
    )


@pytest.mark.parametrize("width", [40, 100])
def test_the_success_curve_falls_where_the_dud_is_named_inside_its_band(width: int) -> None:
    text = printed(PAGES["dud"], width=width)
    plot = rows(text, "How often such a beginning works out")
    chart = [line.partition("│")[2] for line in plot[:11]]
    assert [line.partition("│")[0].strip() for line in plot[:11]] == ["100 %", *[""] * 4, "50 %", *[""] * 4, "0 %"]
    fall = next(line.index("┓") for line in chart if "┓" in line)
    assert {line[fall] for line in chart if len(line) > fall} >= {"┓", "┃", "┗"}
    assert plot[11].partition("▲")[0].count(" ") + 1 >= fall
    assert plot[11].index("▲") == 10 + fall
    assert "▲ 18" in plot[11]
    assert sum(line.count("░") for line in chart) > fall, "the band is there"
    assert chart[6].startswith("━"), "42 % is drawn in the row of 40 %"
    numbers = [" ".join(line.split()) for line in plot[12:]]
    assert numbers[0] == "0 at the start 42 % (30–50 %)"
    assert numbers[2] == "4 after '18' 0 % (0–10 %)"
    assert len(numbers) == 4


@pytest.mark.parametrize("width", [24, 40, 100])
def test_a_curve_of_many_tokens_fits_the_page(width: int) -> None:
    plot = rows(printed(PAGES["slide"], width=width), "How often such a")
    chart = [line.partition("│")[2] for line in plot if "│" in line]
    assert len(chart) == 11
    assert chart[0][0] in "━┓"
    assert chart[-1][-1] == "━"


def test_a_token_that_the_server_does_not_list_has_only_an_upper_limit() -> None:
    text = printed(PAGES["surprise"], width=40)
    found = rows(text, "Where it was open")
    assert found[0].split() == ["1", "Sure", "0.6", "%"]
    assert found[1].strip() == 'usually {" (90 %)'
    assert "at most 0.001 %" in text
    assert "1 in 10,000,000" not in text


def test_every_branch_of_a_tree_has_its_words_also_on_a_narrow_screen() -> None:
    tree = branch('{"time":"', 30, 31, branch("19:30 and then much more than fits here", 30, 0), branch("18:30", 0, 31))
    wide = printed(lambda c: show_parted(Parted("x", "tokens", 61, tree), c))
    assert wide.splitlines()[1:] == [
        '   61 ● 30 ✗ 31  {"time":"',
        "   ├─ 30 ● 30  19:30 and then much more than fits here",
        "   └─ 31 ✗ 31  18:30",
    ]
    narrow = printed(lambda c: show_parted(Parted("x", "tokens", 61, tree), c), width=40)
    assert narrow.splitlines()[1:] == [
        '   61 ● 30 ✗ 31  {"time":"',
        "   ├─ 30 ● 30  19:30 and then much mor…",
        "   └─ 31 ✗ 31  18:30",
    ]
    tiny = printed(lambda c: show_parted(Parted("x", "tokens", 61, tree), c), width=30)
    assert tiny.splitlines()[2:4] == ["   ├─ 30 ● 30", "   │     19:30 and then much…"]


# -- pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_the_picture_is_whole_escaped_and_needs_nothing_from_anywhere(name: str) -> None:
    svg = page_svg(PAGES[name], name="reroll forks </title><script>alert(1)</script> {lines}")
    root = ElementTree.fromstring(svg)
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "style", "defs", "clipPath", "rect", "g", "text"}
    assert root[0].text == "reroll forks </title><script>alert(1)</script> {lines}"
    addresses = re.findall(r"https?://[^\s\"<&]+", svg)
    assert {a for a in addresses if "evil" not in a} == {"http://www.w3.org/2000/svg"}
    for word in ("@font-face", "@import", "<script", "href"):
        assert word not in svg
    assert svg == page_svg(PAGES[name], name="reroll forks </title><script>alert(1)</script> {lines}")


def test_colours_mean_the_same_in_the_picture() -> None:
    svg = page_svg(PAGES["dud"])
    style = re.search(r"\.(reroll-r\d+) \{ fill: #161b22;[^}]*\}", svg)
    assert style is not None, "the dud is reversed"
    assert re.search(rf'<rect fill="#d9730d"[^>]*>[\s\S]*class="{style[1]}"[^>]*>18<', svg)


@pytest.mark.parametrize("name", PAGES)
def test_the_png_is_the_same_picture_and_the_same_bytes_each_time(name: str) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py draws PNGs; it is not installed here")
    svg = page_svg(PAGES[name])
    png = png_of(svg)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    box = [float(x) for x in re.findall(r'viewBox="0 22 ([\d.]+) ([\d.]+)"', svg)[0]]
    assert (width, height) == pytest.approx([2 * x for x in box], abs=2)
    assert png == png_of(svg)


def dark(png: bytes) -> int:
    """How many different bytes the picture's rows hold: one colour has few, letters many."""
    data, at = b"", 8
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        data += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    return len(set(zlib.decompress(data)))


def test_the_png_has_letters_on_a_machine_without_fonts() -> None:
    pytest.importorskip("resvg_py", reason="resvg-py draws PNGs; it is not installed here")
    for letters in ("what the model said ✗●◐├─◆▁▅█━╸░┓▲⏎", "äöüßéПривет"):
        assert OWN.fullmatch(letters), "drawn without looking at the machine's fonts"
        written = png_of(page_svg(lambda c, letters=letters: c.print(letters)))  # type: ignore[misc]
        empty = png_of(page_svg(lambda c: c.print(" ")))
        assert dark(written) > dark(empty) + 20
    assert not OWN.fullmatch("日本語")
    for char in "日👩":  # whatever the machine has, there is something to see
        assert dark(png_of(page_svg(lambda c, char=char: c.print(char)))) > dark(
            png_of(page_svg(lambda c: c.print(" ")))
        )  # type: ignore[misc]


def test_a_token_of_a_dud_without_probabilities_has_no_step() -> None:
    found = forked(TOKENS, [None] * 6, 4, FALL)
    text = printed(lambda c: show_forked(replace(found, tier="B"), c))
    assert "▲▲ here it went wrong" in text
    assert not set("▁▂▃▄▅▆▇█") & set(text)
