"""The JSON Schemas of what looks at tokens, wordings and stored runs, and of what is kept of watches and tokens.

Each of these forms is put together by an `as_json` from the fields of a type; the schema takes those fields from the
type, so that it changes with it, and tests hold it against what the commands print.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from generating.shapes import (
    ANYTHING,
    JSON,
    NUMBER,
    TEXT,
    TEXTS,
    TRUTH,
    WHOLE,
    listed,
    or_null,
    plain,
    trimmed,
    with_more,
)
from reroll.foreseen import Foreseen
from reroll.forked import Forked
from reroll.grouped import Grouped
from reroll.looking import Parted
from reroll.phrased import Phrased
from reroll.reworded import Reworded
from reroll.store_rows_web import AccessToken
from reroll.surprised import Surprised
from reroll.watch_overview import Judging, Row
from reroll.watching import Event

__all__ = ["distributions", "kept_watch", "looks"]

# An infinite number is null: JSON has no word for it.
MAYBE_INFINITE = or_null(NUMBER)


def distributions() -> dict[str, JSON]:
    """What reads a model's probabilities, and what runs from inside an answer."""
    return {"futures": futures(), "surprise": surprise(), "dud": dud(), "phrase": phrase()}


def looks() -> dict[str, JSON]:
    """What shows stored runs."""
    return {"tree": plain(TypeAdapter(Parted)), "groups": plain(TypeAdapter(Grouped))}


def of(kind: Any) -> tuple[JSON, JSON, JSON]:
    """A type's schema, its keys, and what its parts are made of. An agreement's evidence may be infinite."""
    whole = plain(TypeAdapter(kind))
    parts = whole.get("$defs", {})
    if "Agreement" in parts:
        parts["Agreement"]["properties"]["log_e"] = MAYBE_INFINITE
    return whole, whole["properties"], parts


def put(parts: JSON, keys: JSON) -> JSON:
    """An object of these keys, with the definitions that they need."""
    return trimmed(with_more({"$defs": parts}, keys))


def some(keys: JSON, *names: str) -> JSON:
    return {name: keys[name] for name in names}


def futures() -> JSON:
    _, keys, parts = of(Foreseen)
    found, explored, est = (parts[name]["properties"] for name in ("Futures", "Explored", "Est"))
    rate = with_more({}, {**est, "alpha": keys["alpha"], "method": explored["method"]})
    return put(
        parts,
        {
            **some(found, "known_failure", "known_success", "known_invalid", "unexplored", "outside_top_k", "noise"),
            "rate": rate,
            **some(keys, "calls", "tokens", "sampling_calls"),
            **some(found, "completions", "server_noise"),
            **some(explored, "agreement"),
            **some(keys, "case", "program", "model", "tier", "cost", "caveats", "text"),
            **some(explored, "finished", "stopped"),
        },
    )


def surprise() -> JSON:
    _, keys, parts = of(Surprised)
    scored, token = parts["Scored"]["properties"], parts["ScoredToken"]["properties"]
    one = with_more(
        {}, {"text": TEXT, "log_prob": MAYBE_INFINITE, **some(token, "rank", "usual", "usual_prob", "left")}
    )
    return put(
        parts,
        {
            **some(keys, "verdict"),
            **dict.fromkeys(("log_prob", "log_prob_low", "log_prob_high"), MAYBE_INFINITE),
            **some(scored, "departure"),
            "at_least_this_surprising": keys["at_least"],
            **some(keys, "enumerated", "per_day"),
            "tokens": listed(one),
            **some(keys, "agreement", "read_as", "case", "program", "model", "cost", "caveats", "text"),
        },
    )


def dud() -> JSON:
    _, keys, parts = of(Forked)
    found = {name: part for name, part in parts["Dud"]["properties"].items() if name != "caveats"}
    price = {**parts["DudPrice"]["properties"], "calls": WHOLE, "most_calls": WHOLE}
    token = with_more({}, {"text": TEXT, "prob": or_null(NUMBER)})
    return put(
        parts,
        {
            **found,
            **some(keys, "tier", "sample", "case", "program", "model", "exact", "method", "why"),
            "price": with_more({}, price),
            "tokens": listed(token),
            **some(keys, "cost", "caveats", "text", "finished", "stopped"),
        },
    )


PLACE = ("position", "chosen", "before", "watched", "differ_most", "sample", "sample_of", "sample_fails")


def phrase() -> JSON:
    """Two forms of one name: `of` says whether whole wordings were run, or one place was looked at token by token."""
    _, keys, parts = of(Reworded)
    spread = {name: or_null(part) for name, part in parts["Spread"]["properties"].items()}
    ends = dict.fromkeys(("best", "worst"), or_null(TEXT))
    whole = {"of": {"const": "wordings"}, **keys, **spread, **ends, "text": TEXT}
    del whole["spread"]
    _, keys, more = of(Phrased)
    at = with_more({}, some(keys, *PLACE))
    rest = {name: part for name, part in keys.items() if name not in PLACE}
    token = {"of": {"const": "tokens"}, **rest, "at": at, "text": TEXT}
    name = {"schema": {"const": "reroll.phrase/1"}}
    both = [with_more({}, name | whole), with_more({}, name | token)]
    return trimmed(
        {
            "type": "object",
            "$defs": {**parts, **more},
            "properties": {name: {} for name in (*whole, *token)},
            "required": [name for name in whole if name in token],
            "oneOf": both,
        }
    )


def kept_watch() -> dict[str, JSON]:
    """What `watch` prints: the watch as it stands, and what happened while it looked; and the access tokens."""
    row = {name: part for name, part in plain(TypeAdapter(Row))["properties"].items() if name != "days"}
    alarm = {
        **dict.fromkeys(("id", "kind", "state"), TEXT),
        **dict.fromkeys(("words", "report", "job", "investigated"), or_null(TEXT)),
        "raised": NUMBER,
        "resolved": or_null(NUMBER),
        "over": or_null(TEXT),
    }
    kind = plain(TypeAdapter(Event))["properties"]["kind"]
    event = {
        "kind": kind,
        "time": NUMBER,
        "stream": ANYTHING,
        "words": TEXT,
        "alarm": or_null(TEXT),
        "numbers": ANYTHING,
    }
    account = {"brought": NUMBER, "spent": NUMBER, "first": or_null(NUMBER), "clock": or_null(NUMBER)}
    scopes = plain(TypeAdapter(AccessToken))["properties"]
    token = {**some(scopes, "id", "name", "scopes", "max_usd"), "revoked": TRUTH}
    return {
        "watch": with_more(
            {},
            {
                "watch": TEXT,
                "promise": TEXT,
                "false_alarms": with_more({}, account),
                "streams": listed(with_more({}, row)),
                "alarms": listed(with_more({}, alarm)),
                "unjudged": {"type": "object", "additionalProperties": WHOLE},
                "judging": or_null(plain(TypeAdapter(Judging))),
                "caveats": TEXTS,
                "events": listed(with_more({}, event)),
            },
        ),
        "tokens": with_more({}, {"tokens": listed(with_more({}, token))}),
        "token": with_more({}, dict.fromkeys(("id", "name", "secret"), TEXT)),
    }
