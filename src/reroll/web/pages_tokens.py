"""Tokens: a completion as a strip coloured by surprise, what else could have stood there, the curve, the tree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.check import overall
from reroll.errors import RerollError
from reroll.looking import judged_texts, parted_samples, said_by
from reroll.numbers import counts, percent
from reroll.project import Project
from reroll.render.figures import Figure, fork_tree, two_distributions
from reroll.sample import Token
from reroll.store import Store, StoredSample
from reroll.web import figured
from reroll.web.actions import offer
from reroll.web.home import Home
from reroll.web.pages_answer import case_named
from reroll.web.view import page, plain

__all__ = ["ROUTES", "Piece", "pieces_of"]

STEPS = 8  # shades of surprise, one for each halving of the probability
MOST_TOKENS = 4000
MOST_TREE = 3000  # runs that a tree is made of on a page
MOST_WAYS = 500  # runs that tell how each token's alternatives fared


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a strip: its text, its probability, how surprising it was (0 to 8), and what could stand there.

    choices: (token, probability, success or None); dud: whether the answer went wrong here.
    fared: by token, how many stored runs of the same request that had come so far and went on with it were right, and
    how many runs these were; under "" those that went on otherwise than the completion did.
    """

    text: str
    prob: float | None
    shade: int
    choices: tuple[tuple[str, float, float | None], ...]
    dud: bool = False
    fared: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def entropy(self) -> float | None:
        """How open the choice was here, in bits: at least so much, as what is not listed counts as one more choice.

        None where nothing is known of what else could stand there.
        """
        known = [p for _, p, _ in self.choices if p > 0]
        if len(known) < 2:
            return None
        every = [*known, max(0.0, 1.0 - sum(known))]
        return max(0.0, -sum(p * math.log2(p) for p in every if p > 0))

    @property
    def by_entropy(self) -> Piece:
        """The same, shaded by how open the choice was: a step for each third of a bit."""
        return replace(self, shade=min(STEPS, round(3 * (self.entropy or 0.0))))

    @property
    def tip(self) -> str:
        """What a reader is told who points at it, in a line for each token."""
        lines = [
            f"“{plain(t, 40)}” {percent(p)}" + (f", then {percent(s)} work out" if s is not None else self._fared(t))
            for t, p, s in self.choices
        ]
        if lines == [] and self.prob is not None:
            lines.append(f"taken here in {percent(self.prob)} of runs")
        lines += [f"of the stored runs that had come so far: {said}" for said in self._parted() if self.fared]
        if self.entropy is not None:
            lines.append(f"entropy at least {self.entropy:.2f} bits")
        return "\n".join(lines)

    def _fared(self, token: str) -> str:
        """How runs fared that went on with this token; nothing is said where none did."""
        right, runs = self.fared.get(token, (0, 0))
        return f"; {right} of {counts('stored run', runs)} that went on so were right" if runs else ""

    def _parted(self) -> list[str]:
        """How runs fared that went on as the completion did, and those that went another way."""
        (right, runs), (other, others) = (self.fared.get(key, (0, 0)) for key in (self.text, ""))
        if not others:
            return []
        return [f"{right} of {runs} that went on so were right, {other} of {others} that went another way"]


def _with_ways(pieces: Sequence[Piece], said: Sequence[tuple[str, bool]]) -> list[Piece]:
    """The pieces, each with how the runs fared that had come so far, up to where all others have gone another way.

    said: the text of each run of the same request, and whether it was right.
    """
    made, so_far, here = list(pieces), "", list(said)
    for place, piece in enumerate(pieces):
        if len(here) < 2:
            break
        after = so_far + piece.text
        tokens = {piece.text, *(token for token, _, _ in piece.choices)} - {""}
        fared = {token: _counted([one for one in here if one[0].startswith(so_far + token)]) for token in tokens}
        fared[""] = _counted([one for one in here if not one[0].startswith(after)])
        made[place] = replace(piece, fared=fared)
        here, so_far = [one for one in here if one[0].startswith(after)], after
    return made


def _counted(said: Sequence[tuple[str, bool]]) -> tuple[int, int]:
    return sum(right for _, right in said), len(said)


def _shade(p: float | None) -> int:
    if p is None or p > 0.9:
        return 0
    return STEPS if p <= 2.0**-STEPS else max(1, math.ceil(-math.log2(p) - 1e-9))


def pieces_of(store: Store, sample_id: str, tokens: Sequence[Token]) -> tuple[list[Piece], str]:
    """The strip of a sample, and where its probabilities are from: as sampled, or scored by a later search."""
    found = {
        f.command: store.finding_body(f.id)
        for f in store.findings(command=("forks", "surprise"), sample_id=sample_id)[::-1]
    }
    for finding in store.findings(command="investigate")[:50]:  # a token found within an answer
        if "forks" in found:
            break
        body = store.finding_body(finding.id)
        dud = body.get("dud") or {}
        if dud.get("sample") == sample_id and dud.get("token"):
            found["forks"] = {**dud, "tokens": []}
    forks, surprise = found.get("forks"), found.get("surprise")
    if tokens and any(t.logprob is not None for t in tokens):
        made = [_piece(t) for t in tokens]
        source = "as the server told them when it was sampled"
    elif forks and forks.get("tokens"):
        made = [Piece(t["text"], t.get("prob"), _shade(t.get("prob")), ()) for t in forks["tokens"]]
        source = "read later by the search for the token"
    elif surprise:
        made = [_surprised(t) for t in surprise["tokens"]]
        source = "read later, when it was asked how unlikely this was"
    else:
        return [Piece(t.text, None, 0, ()) for t in tokens], ""
    if forks and forks.get("position"):
        at = int(forks["position"]) - 1
        if at < len(made) and made[at].text == forks.get("token"):
            made[at] = _dud(made[at], forks)
    return made[:MOST_TOKENS], source


def _piece(token: Token) -> Piece:
    p = None if token.logprob is None else math.exp(min(0.0, token.logprob))
    return Piece(token.text, p, _shade(p), tuple((t, math.exp(min(0.0, q)), None) for t, q in token.top[:8]))


def _surprised(token: Mapping[str, Any]) -> Piece:
    p = None if token.get("log_prob") is None else math.exp(min(0.0, token["log_prob"]))
    choices = [(token["text"], p or 0.0, None)]
    if token.get("usual") not in (None, token["text"]):
        choices.append((token["usual"], token.get("usual_prob") or 0.0, None))
    return Piece(token["text"], p, _shade(p), tuple(sorted(choices, key=lambda c: -c[1])))


def _dud(piece: Piece, forks: Mapping[str, Any]) -> Piece:
    after = (forks.get("success_after") or {}).get("value")
    choices = [(piece.text, piece.prob if piece.prob is not None else forks.get("prob") or 0.0, after)]
    choices += [(o["token"], o.get("prob") or 0.0, o["success"]["value"]) for o in forks.get("alternatives", ())]
    return Piece(piece.text, piece.prob, piece.shade, tuple(sorted(choices, key=lambda c: -c[1])), True)


def _passed(store: Store, id: str) -> bool:
    """Whether every check that judged it says that it is right."""
    said = store.outcomes([id]).get(id, {}).values()
    return bool(said) and overall(list(said)).outcome == "pass"


def tokens_page(request: Request) -> Response:
    home: Home = request.app.state.home
    stored = home.store.sample(request.path_params["id"])
    completion = stored.sample.completion
    pieces, source = pieces_of(home.store, stored.id, completion.tokens if completion else ())
    open_choices = 2 * sum(piece.entropy is not None for piece in pieces) > len(pieces)  # else it would mislead
    by = "entropy" if open_choices and request.query_params.get("by") == "entropy" else "surprise"
    forks = next(iter(home.store.findings(command="forks", sample_id=stored.id, limit=1)), None)
    body = None if forks is None else home.store.finding_body(forks.id)
    figures: dict[str, figured.Draw] = {}
    if body is not None and body.get("curve"):
        figures["curve"] = lambda width: figured.of_forks(body, width)
    try:
        project = home.project()
        if source:
            pieces = _with_ways(pieces, judged_texts(project, home.store, stored.request_id, MOST_WAYS))
        asked = [("surprise", "How unlikely was this?")]
        # What is right went astray nowhere; and how another request goes on tells nothing of this one.
        if not _passed(home.store, stored.id) and _asked_now(home, project, stored):
            asked.insert(0, ("forks", "Find the token that led it astray"))
        offers = {
            name: offer(home, project, name, label=label, sample=stored.id, case=stored.case_id)
            for name, label in asked
        }
    except RerollError:
        offers = {}
    return page(
        request,
        "tokens.html",
        figures=figures,
        stored=stored,
        text=said_by(stored.sample),
        pieces=[piece.by_entropy for piece in pieces] if by == "entropy" else pieces,
        by=by,
        open_choices=open_choices,
        source=source,
        forks=body,
        offers=offers,
        jobs=home.store.jobs(states=("waiting", "running"), case_id=stored.case_id),
        shown=len(pieces),
        total=len(completion.tokens) if completion and completion.tokens else len(pieces),
    )


def _asked_now(home: Home, project: Project, stored: StoredSample) -> bool:
    """Whether the program as it is asks what this sample answered."""
    case = case_named(home, stored.case_id)
    now, then = project.program.render(case.input, case.history), home.store.get_request(stored.request_id).request
    return (now.body, now.raw) == (then.body, then.raw)


def tree_page(request: Request) -> Response:
    """All runs of a case, run together where they begin alike."""
    home: Home = request.app.state.home
    case = case_named(home, request.path_params["id"])
    count = next((c.n for c in home.store.case_counts() if c.case_id == case.id), 0)
    figures: dict[str, figured.Draw] = {}
    parted = None
    if count:
        least = max(1, min(count, MOST_TREE) // 200)
        parted = parted_samples(home.project(), home.store, case.id, least, MOST_TREE)
        tree = parted.tree
        figures["tree"] = lambda width: fork_tree(
            "tree", tree, title="Where the answers part, and how each way fares", width=width
        )
    return page(request, "tree.html", figures=figures, case=case, parted=parted, count=count, most=MOST_TREE)


def compare_page(request: Request) -> Response:
    """Two wordings at one token of the answer, from the newest finding that looked there; and a form for another."""
    home: Home = request.app.state.home
    case = case_named(home, request.path_params["id"])
    bodies = (home.store.finding_body(f.id) for f in home.store.findings(command="phrase", case_id=case.id))
    body = next((read for read in bodies if read.get("of") == "tokens" and len(read.get("wordings", ())) == 2), None)
    draws: dict[str, figured.Draw] = {}
    pieces: list[Piece] = []
    if body is not None and body.get("tokens"):
        draws["two"] = partial(_two, body)
        pieces = [_moved(one) for one in body.get("path") or ()]
    try:
        price = offer(home, home.project(), "words", case=case.id).price
    except RerollError:
        price = ""
    jobs = home.store.jobs(states=("waiting", "running"), case_id=case.id)
    return page(request, "wordings.html", figures=draws, case=case, body=body, pieces=pieces, price=price, jobs=jobs)


def _moved(one: Mapping[str, Any]) -> Piece:
    """A token of the answer, shaded by how far the two wordings part there."""
    first, second = one["probs"][0], one["probs"][1]
    apart = float(one.get("total_variation") or 0.0)
    shade = 0 if apart < 0.01 else min(STEPS, 1 + int(apart * 14))
    return Piece(
        one["text"], first, shade, ((f"{one['text']} as asked", first, None), (f"{one['text']} reworded", second, None))
    )


def _two(body: Mapping[str, Any], width: int) -> Figure:
    """What each of the two wordings holds possible at the token that was looked at."""
    left, right = ([(str(row["token"]), float(row["probs"][k] or 0.0)) for row in body["tokens"]] for k in (0, 1))
    at = (body.get("at") or {}).get("position")
    title = f"What may stand at token {at}: as it is asked left, in the other words right"
    return two_distributions("two", left, right, names=("as asked", "other words"), most=8, title=title, width=width)


ROUTES = [
    Route("/tokens/{id}", tokens_page),
    Route("/cases/{id:path}/tree", tree_page),
    Route("/cases/{id:path}/wordings", compare_page),
]
