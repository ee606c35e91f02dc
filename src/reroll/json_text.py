"""JSON values as texts and back, by the fast library where it says the very same as Python's own, else by Python's."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

__all__ = ["json_bytes", "json_text", "json_value"]

JSON = Any
# Made once: json.dumps and json.loads make one for each call.
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dict).encode
DECODE = json.JSONDecoder(parse_constant=str).decode
DIGITS = bytes.maketrans(b"123456789", b"000000000")


def json_text(value: JSON) -> str:
    """The JSON text of a value, without spaces, its keys in their order; stored ids are made of it.

    >>> json_text({"b": [1e-7, "é"], "a": None})
    '{"b":[1e-07,"é"],"a":null}'
    """
    found = _fast(value)
    return ENCODE(value) if found is None else found.decode()


def json_bytes(value: JSON) -> bytes:
    """The same in UTF-8, half characters as they are."""
    found = _fast(value)
    return ENCODE(value).encode("utf-8", "surrogatepass") if found is None else found


def _fast(value: JSON) -> bytes | None:
    """None for what the library refuses (half characters), and where a number may be spelt otherwise than Python's.

    That are numbers with an exponent, and those so small that Python gives them one.
    """
    try:
        found: bytes = pydantic_core.to_json(value, inf_nan_mode="constants")
    except (ValueError, RecursionError):
        return None
    return None if b"0e" in found.translate(DIGITS) or b"0.0000" in found else found


def json_value(text: str, *, odd_numbers: bool = False) -> JSON:
    """The JSON value of a text. Raises: ValueError.

    NaN and infinities, which JSON has not, are texts, or numbers if `odd_numbers`.

    >>> json_value('{"a": [1, NaN]}')
    {'a': [1, 'NaN']}
    """
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # TypeError: of a text with half a character in it
        pass  # no JSON, or some that only Python's own reads: half characters, NaN, deep nesting
    try:
        return json.loads(text) if odd_numbers else DECODE(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
