"""Run the benchmarks and write what came out to ``benchmarks/<date>-<hardware>.md``.

    python -m benchmarks.run                  # all, about an hour on two cores
    python -m benchmarks.run attack drift     # some

Close other work first: ratios of one run survive a busy machine, seconds do not. The load is written down.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.timing import Result

BENCHMARKS = (
    "fit", "fairness", "attack", "drift", "year", "review", "tracking", "search", "feasible",
    "hypervolume",
)  # fmt: skip
PACKAGES = (
    "torch", "pytorch-lightning", "fairlearn", "adversarial-robustness-toolbox", "evidently", "torchattacks", "foolbox",
    "optuna", "numpy", "pandas", "scipy",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; default all")
    names = parser.parse_args(arguments).names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    load = os.getloadavg()[0]
    pages = [_run(name) for name in names]
    path = Path(__file__).parent / f"{datetime.now(UTC):%Y-%m-%d}-{_slug(_processor())}.md"
    path.write_text("\n\n".join([_head(names, load), *pages]) + "\n")
    print(f"\nwritten to {path}")


def _run(name: str) -> str:
    print(f"{name} ...", file=sys.stderr, flush=True)
    page = _page(import_module(f"benchmarks.{name}").measure())
    print(page, flush=True)
    return page


def _page(result: Result) -> str:
    table = [result.headings, tuple("---" for _ in result.headings), *result.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([f"## {result.title}", "", f"Target: {result.target}.", "", *lines, "", *result.notes])


def _head(names: Sequence[str], load: float) -> str:
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return "\n".join(
        [
            "# What safeguards cost, beside the alternatives",
            "",
            f"- Date: {datetime.now(UTC):%Y-%m-%d}. Command: `python -m benchmarks.run {' '.join(names)}`.",
            f"- Hardware: {_processor()}, {os.cpu_count()} cores, {_memory()} GB; {platform.system()}; no GPU used.",
            f"- Load average of the minute before: {load:.1f}.",
            f"- Commit {_commit()}; Python {platform.python_version()}, {versions}.",
        ]
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return found[1].strip() if found else platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
