"""The texts that steps look at and change: a request's last user message, an answer, keys of a JSON answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import re2

from reroll.match import NotJSON, clean, parse, show
from reroll.program import Request, canonical
from reroll.step_forms import Rewrite

__all__ = ["Broken", "edited", "input_text", "matches", "rewritten", "steps_to", "value_at", "with_input"]

LONGEST = 1_000_000  # characters that a rewritten text may have
JSON = Any  # what json.loads returns


class Broken(Exception):
    """A step could not do its work; says why. The draw is then a sample with this error."""


# ---------------------------------------------------------------- texts and requests


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _is_product(request: Request) -> bool:
    return request.model.partition(":")[0] in ("python", "http")


def _sentence(content: JSON) -> str:
    """The text of a message, whose content may be a list of parts."""
    parts = content if isinstance(content, list | tuple) else [{"text": content}]
    return "".join(str(p.get("text") or "") for p in parts if isinstance(p, Mapping))


def _last_user(messages: JSON) -> int | None:
    if not isinstance(messages, list | tuple):
        return None
    asked = [i for i, m in enumerate(messages) if isinstance(m, Mapping) and m.get("role") == "user"]
    return asked[-1] if asked else None


def _place(body: Mapping[str, JSON]) -> tuple[str, int | None] | None:
    """The key of a request's body that holds the user's text, and the message in it; None where there is none."""
    for key in ("messages", "input", "prompt"):
        if key in body:
            last = _last_user(body[key])
            if last is not None or isinstance(body[key], str):
                return key, last
    return None


def input_text(request: Request) -> str:
    """The text of the last user message; for a product of one's own the canonical JSON of what it is sent.

    >>> input_text(Request("bundled", None, {"messages": [{"role": "user", "content": "Hi"}]}))
    'Hi'
    """
    body = request.body
    if _is_product(request):
        return canonical(body.get("input", body.get("body", {})))
    found = _place(body)
    if found is None:
        return ""
    key, at = found
    return str(body[key]) if at is None else _sentence(body[key][at].get("content"))


def with_input(request: Request, text: str) -> Request:
    """The request with another user's text. Raises: Broken where there is no place for it.

    >>> input_text(with_input(Request("bundled", None, {"messages": [{"role": "user", "content": "Hi"}]}), "Ho"))
    'Ho'
    """
    body = dict(request.body)
    if _is_product(request):
        key = "input" if "input" in body else "body"
        try:
            body[key] = parse(text)
        except NotJSON as error:
            raise Broken(f"the inputs of a product are JSON, and after this step they are {error}") from None
        if key == "input" and not isinstance(body[key], dict):
            raise Broken(f"the inputs of a function are names and values; after this step they are {show(body[key])}")
        return replace(request, body=body)
    found = _place(body)
    if found is None:
        raise Broken("the request has no user message whose text could be changed")
    key, at = found
    if at is None:
        body[key] = text
    else:
        messages = list(body[key])
        messages[at] = {**messages[at], "content": _with_text(messages[at].get("content"), text)}
        body[key] = messages
    return replace(request, body=body, raw=None if request.raw is None else json.dumps(body, ensure_ascii=False))


def _with_text(content: JSON, text: str) -> JSON:
    """A message's content with this text: in the first of its text parts, pictures and the like kept."""
    if not isinstance(content, list | tuple):
        return text
    texts = [i for i, p in enumerate(content) if isinstance(p, Mapping) and isinstance(p.get("text"), str)]
    if not texts:
        raise Broken("the user's message has no text that could be changed")
    kept = [p for i, p in enumerate(content) if i not in texts[1:]]
    return [{**p, "text": text} if i == texts[0] else p for i, p in enumerate(kept)]


def matches(pattern: str | None, text: str) -> bool:
    """Whether something in the text matches this RE2; None matches everything."""
    return pattern is None or _compiled(pattern).search(clean(text)) is not None


# ---------------------------------------------------------------- rewriting


def _replaced(pattern: str, template: str, text: str) -> str:
    r"""The text with every match replaced; in the template \0 to \9 are groups and \\ is a backslash, as in RE2."""
    size = 0

    def one(match: Any) -> str:
        nonlocal size
        out, at = [], 0
        while at < len(template):
            sign = template[at]
            if sign == "\\" and at + 1 < len(template):
                at += 1
                sign = template[at]
                if sign.isdecimal() and sign.isascii():
                    sign = (match.group(int(sign)) or "") if int(sign) <= match.re.groups else ""
                elif sign != "\\":
                    sign = "\\" + sign
            out.append(sign)
            at += 1
        found = "".join(out)
        size += len(found)
        if size > LONGEST:
            raise Broken(f"replacing {show(pattern)} made a text of more than {LONGEST:,} characters")
        return found

    return str(_compiled(pattern).sub(one, clean(text)))


def _unfenced(text: str) -> str:
    """What stands between ``` and ```, where these are the first and the last thing in the text."""
    body = text.strip()
    if not (body.startswith("```") and body.endswith("```") and "\n" in body):
        return text
    inner = body[body.index("\n") + 1 : -3]
    return text if "```" in inner else inner.strip()


def steps_to(pointer: str) -> list[str]:
    """A key, or the way that a JSON pointer leads.

    >>> steps_to("date"), steps_to("/meeting/a~1b")
    (['date'], ['meeting', 'a/b'])
    """
    if not pointer.startswith("/"):
        return [pointer]
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _holder(value: JSON, way: Sequence[str]) -> dict[str, JSON] | None:
    """The object that holds the last key of the way; lists are gone into by their places."""
    for part in way:
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return None
    return value if isinstance(value, dict) else None


def edited(text: str, rename: Mapping[str, str], drop: Sequence[str], put: Mapping[str, JSON]) -> str:
    """A JSON answer with keys renamed, dropped and set; any other text, and one without these keys, as it is."""
    try:
        value = parse(text)
    except NotJSON:
        return text
    before = json.dumps(value)
    for name, new in rename.items():
        *way, key = steps_to(name)
        if (held := _holder(value, way)) is not None and key in held:
            pairs = [(new if k == key else k, v) for k, v in held.items() if k == key or k != new]
            held.clear()
            held.update(pairs)
    for name in drop:
        *way, key = steps_to(name)
        if (held := _holder(value, way)) is not None:
            held.pop(key, None)
    for name, new_value in put.items():
        *way, key = steps_to(name)
        if (held := _holder(value, way)) is not None:
            held[key] = new_value
    return text if json.dumps(value) == before else json.dumps(value, ensure_ascii=False)


def rewritten(step: Rewrite, text: str) -> str:
    """The text as this step leaves it. Raises: Broken where it would grow beyond all bounds.

    >>> rewritten(Rewrite(step="rewrite", strip_fences=True, drop=("why",)), '```json\\n{"why": "x", "a": 1}\\n```')
    '{"a": 1}'
    """
    if step.text is not None:
        return step.text
    if step.strip_fences:
        text = _unfenced(text)
    for pattern, template in step.replace:
        text = _replaced(pattern, template, text)
    if step.rename or step.drop or step.set:
        text = edited(text, step.rename, step.drop, step.set)
    return text


def value_at(value: JSON, pointer: str) -> JSON:
    """What stands there in a JSON value. Raises: KeyError where nothing does.

    >>> value_at({"a": [{"b": 1}]}, "/a/0/b")
    1
    """
    for part in steps_to(pointer) if pointer else ():
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            raise KeyError(part)
    return value
