"""OTLP as it was sent (protobuf, a file a request) into a line of OTLP JSON each: OUT FILE..."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any


def main(out: str, *files: str) -> None:
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with open(out, "w", encoding="utf-8") as lines:
        for file in files:
            kind = ExportTraceServiceRequest if "traces" in Path(file).name else ExportLogsServiceRequest
            one = MessageToDict(kind.FromString(Path(file).read_bytes()), use_integers_for_enums=True)
            lines.write(json.dumps(_ids(one), ensure_ascii=False) + "\n")


def _ids(value: Any) -> Any:
    """The same with ids in hexadecimal, as OTLP's JSON has them."""
    if isinstance(value, list):
        return [_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    hexadecimal = ("traceId", "spanId", "parentSpanId")
    return {k: base64.b64decode(v).hex() if k in hexadecimal else _ids(v) for k, v in value.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
