"""The head of a GGUF file: enough to know that it is one, and how long a context its model was trained for."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from reroll.errors import ModelError

__all__ = ["context_length", "file_hash", "read_metadata"]

# Type codes of the format: 0 u8, 1 i8, 2 u16, 3 i16, 4 u32, 5 i32, 6 f32, 7 bool, 8 string, 9 array, 10 u64, ...
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def read_metadata(path: Path) -> dict[str, Any]:
    """Scalar and text metadata by key; arrays (the vocabulary) are passed over. Raises: ModelError."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError(f"{path} is no GGUF file (its first four bytes are not `GGUF`)", slug="no-gguf")
            version = _number(file, "I")
            if version not in (2, 3):
                raise ModelError(f"{path} is a GGUF file of version {version}; 2 and 3 can be read", slug="no-gguf")
            _number(file, "Q")
            return {k: v for k, v in (_entry(file) for _ in range(_number(file, "Q"))) if v is not None}
    except FileNotFoundError:
        raise ModelError(f"there is no model file {path}", slug="no-gguf") from None
    except OSError as error:
        raise ModelError(f"the model file {path} cannot be read: {error.strerror or error}", slug="no-gguf") from None
    except (struct.error, ValueError, OverflowError, MemoryError):
        raise ModelError(f"{path} starts like a GGUF file but breaks off; download it again", slug="no-gguf") from None


def context_length(metadata: dict[str, Any]) -> int | None:
    """How many tokens the model was trained to look back on."""
    value = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    return value if isinstance(value, int) and value > 0 else None


def file_hash(path: Path) -> str:
    """The first 12 hex digits of the file's SHA-256; remembered as long as size and time stay."""
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack("<" + code, file.read(struct.calcsize("<" + code)))[0]


def _string(file: BinaryIO) -> str:
    size = _number(file, "Q")
    if size > 1 << 24:
        raise ValueError("a text of more than 16 MiB")
    return file.read(size).decode("utf-8", "replace")


def _entry(file: BinaryIO) -> tuple[str, Any]:
    key = _string(file)
    kind = _number(file, "I")
    return key, _value(file, kind)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        return _number(file, SCALARS[kind]) if kind in SCALARS else _unknown(kind)
    item, count = _number(file, "I"), _number(file, "Q")
    if item in SCALARS:
        file.seek(count * struct.calcsize("<" + SCALARS[item]), 1)
    elif item == STRING:
        for _ in range(count):
            file.seek(_number(file, "Q"), 1)
    else:
        _unknown(item)
    return None


def _unknown(kind: int) -> Any:
    raise ValueError(f"value type {kind}")
