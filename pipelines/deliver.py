"""A producer's last step: write the manifest of a folder of Parquet and CSV files, by which a retraining takes them in.

    python -m pipelines.deliver deliveries/2026-48

Exit codes: 0 the manifest is written; 6 a file has no rows or cannot be read to its end, or there is none; 2 the
command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from safeguards.retraining import DataRefused, deliver
from safeguards.tracking import safe_line

__all__ = ["main"]

REFUSED = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Describe the files and print what they are."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.deliver", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with every file of the delivery, whole")
    folder = parser.parse_args(arguments).folder
    try:
        manifest = deliver(folder)
    except DataRefused as error:
        print(f"error: {safe_line(error)}", file=sys.stderr)
        return REFUSED
    print(f"{len(manifest.files)} files, {manifest.rows} rows, fingerprint {manifest.fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
