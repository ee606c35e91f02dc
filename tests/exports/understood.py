"""Evaluation events as OpenTelemetry's own packages read them: FILE; prints what they find, and unknown names."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any


def main(file: str) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.semconv._incubating.attributes import error_attributes, gen_ai_attributes

    conventions = {
        v for module in (error_attributes, gen_ai_attributes) for v in vars(module).values() if isinstance(v, str)
    }
    found: dict[str, Any] = {"records": 0, "spans": [], "unknown": set()}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        read = ParseDict(_ids(json.loads(line)), ExportLogsServiceRequest())
        for record in read.resource_logs[0].scope_logs[0].log_records:
            found["records"] += 1
            found["spans"].append(record.span_id.hex())
            names = {a.key for a in record.attributes if not a.key.startswith("reroll.")}
            found["unknown"] |= {n for n in names if n not in conventions}
    print(json.dumps({**found, "unknown": sorted(found["unknown"])}))


def _ids(value: Any) -> Any:
    """The same with ids in base64, which protobuf's own JSON has where OTLP's has hexadecimal."""
    if isinstance(value, list):
        return [_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        k: base64.b64encode(bytes.fromhex(v)).decode() if k in ("traceId", "spanId") else _ids(v)
        for k, v in value.items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
