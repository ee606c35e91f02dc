"""A JSON Schema for what each command prints with `--json`, from the types that it prints."""

from __future__ import annotations

from pydantic import TypeAdapter

from generating.looked_at import distributions, kept_watch, looks
from generating.shapes import JSON, named, plain, with_more
from reroll.answer import Answer, CauseSection, Certified, CertifySection, Comparison, Cost, LuckSection, Reading
from reroll.audited import Audited
from reroll.explain import Explained
from reroll.ideas import Board
from reroll.intake.recording import Recording
from reroll.ledger import Ledger
from reroll.looking import Listed, Whole
from reroll.probing import Probed
from reroll.scored import Card, Tried

__all__ = ["schemas"]


def schemas() -> dict[str, JSON]:
    """A JSON Schema for what each command prints with --json, by the name of its file."""
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    thing = {"type": "object"}
    around = {
        "case": thing,
        "program": thing,
        "model": text,
        "alpha_total": {"type": "number"},
        "cost": TypeAdapter(Cost),
        "caveats": texts,
        "stopped": text,
        "finished": {"type": "boolean"},
        "reading": {"anyOf": [plain(TypeAdapter(Reading)), {"type": "null"}]},
    }
    alone = {name: what for name, what in around.items() if name != "reading"}
    listed = plain(TypeAdapter(list[Listed]))
    definitions = listed.pop("$defs", {})
    probed = plain(TypeAdapter(Probed))
    facts = ("reroll", "python", "system", "aiohttp", "numpy", "pydantic", "SQLAlchemy", "xllamacpp")
    return {
        "answer": named("answer", answered()),
        "luck": named("luck", with_more(plain(TypeAdapter(LuckSection)), around)),
        "certify": named("certify", certified(around)),
        "association": named("association", associated()),
        "cause": named("cause", with_more(plain(TypeAdapter(CauseSection)), alone | {"case": text})),
        "explain": named("explain", plain(TypeAdapter(Explained))),
        "compare": named("compare", plain(TypeAdapter(Comparison))),
        "check": named("check", checked()),
        "ideas": named("ideas", plain(TypeAdapter(Board))),
        "ledger": named("ledger", plain(TypeAdapter(Ledger))),
        "audit": named("audit", with_more(plain(TypeAdapter(Audited)), {"text": text})),
        "neighbours": named("neighbours", neighbourhood()),
        "try": named("try", with_more(plain(TypeAdapter(Tried)), {"verdict": text, "text": text})),
        "samples": named("samples", with_more({"$defs": definitions}, {"samples": listed})),
        "sample": named("sample", plain(TypeAdapter(Whole))),
        "export": named("export", with_more({}, {"file": text, "samples": {"type": "integer"}})),
        "import": named("import", plain(TypeAdapter(Recording))),
        "apply": named("apply", applied()),
        "init": named("init", with_more({}, {"project": text, "files": texts})),
        "doctor": named(
            "doctor",
            with_more(
                {"$defs": probed["$defs"]},
                {**dict.fromkeys(("model", "identity", *facts), text), **probed["properties"]},
            ),
        ),
        **{name: named(name, schema) for name, schema in (distributions() | looks() | kept_watch()).items()},
    }


def applied() -> JSON:
    """What `apply` prints: the fixes, the program's ids before and after, what differs; the file as it was; the cases
    that it was accepted for, and which of them were added to cases.yaml."""
    text = {"type": "string"}
    names = {"type": "array", "items": text}
    things = {"type": "array", "items": {"type": "object"}}
    return with_more(
        {},
        {
            "file": text,
            "written": {"type": "boolean"},
            "kept": {"type": ["string", "null"]},
            "fixes": things,
            "before": text,
            "after": text,
            "diff": text,
            "tests": names,
            "added": names,
        },
    )


def answered() -> JSON:
    """An answer with the scorecards of fixes, which its own type does not name."""
    whole = plain(TypeAdapter(Answer))
    cards = plain(TypeAdapter(tuple[Card, ...]))
    whole["$defs"] |= cards.pop("$defs")
    whole["properties"]["fixes"] = {"anyOf": [cards, {"$ref": "#/$defs/NotExamined"}]}
    return whole


def certified(around: JSON) -> JSON:
    """One case has `case`; several cases or checks have `cases` and `checks` instead."""
    whole, several = with_more(plain(TypeAdapter(CertifySection)), around), plain(TypeAdapter(Certified))
    extra = {name: several["properties"][name] for name in ("cases", "checks", "outcomes")}
    whole["properties"] |= extra
    whole["$defs"] = {**several["$defs"], **whole.get("$defs", {})}
    whole["required"] = [name for name in whole["required"] if name not in ("case", "reading")]
    return whole


def checked() -> JSON:
    """What `check` prints: estimates with what they are about."""
    from reroll.evidence import Est
    from reroll.labelling import CaseMeasured

    cases = plain(TypeAdapter(list[CaseMeasured]))
    est = plain(TypeAdapter(Est))
    number = {"type": "integer"}
    agreement = {**est, "properties": {**est["properties"], "beyond_chance": est}, "required": [*est["required"]]}
    rate = {**est, "properties": {**est["properties"], "alpha": {"type": "number"}, "method": {"type": "string"}}}
    return with_more(
        {"$defs": cases.pop("$defs", {})},
        {
            "name": {"type": ["string", "null"]},
            **dict.fromkeys(("sensitivity", "specificity", "flag_rate", "flag_right", "pass_wrong"), est),
            "self_agreement": agreement,
            "labels": number,
            "unsure": number,
            "rate": rate,
            "labels_to_halve": {"type": ["integer", "null"]},
            "cases": cases,
            "caveats": {"type": "array", "items": {"type": "string"}},
        },
    )


def neighbourhood() -> JSON:
    """What `neighbours` prints: each candidate as the case that it is, with what its runs said."""
    from reroll.project import schemas as of_files
    from reroll.reworded import Dropped

    cases = of_files()["cases"]
    text, whole, truth = ({"type": name} for name in ("string", "integer", "boolean"))
    tried = with_more(
        {},
        {
            "case": {"$ref": "#/$defs/Case"},
            **dict.fromkeys(("kind", "changed", "why"), text),
            **dict.fromkeys(("runs", "passes", "failures"), whole),
        },
    )
    dropped = plain(TypeAdapter(list[Dropped]))
    near = with_more({}, {"id": text, "alike": {"type": "number"}})
    return with_more(
        {"$defs": {**cases["$defs"], **dropped.pop("$defs", {})}},
        {
            "case": text,
            "program": {"type": "object"},
            "model": text,
            **{name: {"type": "array", "items": tried} for name in ("kept", "aside", "open")},
            "near": {"type": "array", "items": near},
            **dict.fromkeys(("runs_each", "written"), whole),
            "dropped": dropped,
            "file": {"type": ["string", "null"]},
            "dry_run": truth,
            "cost": TypeAdapter(Cost),
            "caveats": {"type": "array", "items": text},
            "finished": truth,
            "stopped": text,
            "text": text,
        },
    )


def associated() -> JSON:
    """What `forks` prints where it can only say which words go with failure."""
    from reroll.associated import AssociationPrice
    from reroll.association import WordTest
    from reroll.evidence import Est

    est = plain(TypeAdapter(Est))
    text, number, whole, truth = ({"type": name} for name in ("string", "number", "integer", "boolean"))
    texts, maybe = {"type": "array", "items": text}, {"type": ["integer", "null"]}
    word = {
        **dict.fromkeys(("first", "last"), whole),
        "text": text,
        "shown": truth,
        "p_value": number,
        **dict.fromkeys(("success_with", "success_without", "difference", "lost"), est),
    }
    piece = with_more({}, {"text": text, "shown": truth})
    return with_more(
        {},
        {
            "verdict": plain(TypeAdapter(WordTest))["properties"]["verdict"],
            "tier": {"enum": ["A", "B", "C", "D"]},
            "why": text,
            "unit": {"enum": ["token", "word"]},
            "p_value": {"type": ["number", "null"]},
            **dict.fromkeys(("alpha", "least"), number),
            "success": est,
            "words": {"type": "array", "items": with_more({}, word)},
            **dict.fromkeys(("untested", "samples", "invalid", "stored", "drawn"), whole),
            **dict.fromkeys(("more_samples", "next_look"), maybe),
            "completion": {"type": "array", "items": piece},
            **dict.fromkeys(("sample", "case", "model", "text", "stopped"), text),
            "program": {"type": "object"},
            "price": plain(TypeAdapter(AssociationPrice)),
            "cost": plain(TypeAdapter(Cost)),
            "caveats": texts,
            "finished": truth,
        },
    )
