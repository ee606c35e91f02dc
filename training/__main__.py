"""`python -m training`: train, export, evaluate. Takes most of an hour of one CPU core and writes the bundled files."""

from __future__ import annotations

import os
import subprocess
import sys

# A step frees and takes back large arrays; handing them back to the system each time costs a tenth of the time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000", "OMP_NUM_THREADS": "1"}


def main() -> None:
    for step in ("train", "export_gguf", "evaluate"):
        extra = sys.argv[1:] if step == "train" else []
        command = [sys.executable, "-u", "-m", f"training.{step}", *extra]
        subprocess.run(command, check=True, env={**os.environ, **KEEP_MEMORY})


if __name__ == "__main__":
    main()
