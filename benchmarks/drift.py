"""The drift decision alone, against Evidently alone, on 30 columns."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pandas as pd

from benchmarks.timing import Result, in_turns, seconds
from safeguards import Measurement
from safeguards.drift.findings import compare, compared
from safeguards.drift.looks import Family
from safeguards.drift.profile import profile
from safeguards.drift.telling import measured

SIZES, COLUMNS, CATEGORIES, ROUNDS = (100_000, 1_000_000), 30, 4, 3
SAMPLE, ALPHA, MIN_EFFECT = 5000, 0.05, 0.1  # those of DriftReport
MEGABYTE = 1024 if sys.platform.startswith("linux") else 1024**2


def measure() -> Result:
    frames = {rows: (_frame(rows, 0), _frame(rows, 1)) for rows in SIZES}
    before = _peak()
    took = in_turns(
        {str(rows): (lambda pair=pair: seconds(lambda: decide(*pair))) for rows, pair in frames.items()}, times=ROUNDS
    )
    grown = _peak() - before
    theirs = {rows: seconds(lambda pair=pair: evidently(*pair)) for rows, pair in frames.items()}
    return Result(
        title=f"The drift decision, {COLUMNS} columns",
        target="20x faster than Evidently alone, memory bounded",
        headings=("", "rows on each side", "seconds", "against safeguards", "peak memory grew by, MB"),
        rows=[
            *(("safeguards", f"{rows:,}", f"{took[str(rows)]:.2f}", "1x", f"{grown:.0f}") for rows in SIZES),
            *(
                (
                    "Evidently",
                    f"{rows:,}",
                    f"{theirs[rows]:.1f}",
                    f"{theirs[rows] / took[str(rows)]:.0f}x",
                    "not measured",
                )
                for rows in SIZES
            ),
        ],
        notes=[
            f"{COLUMNS - CATEGORIES} columns of numbers and {CATEGORIES} of words, both sides from "
            f"the same distribution; frames in memory already; median of {ROUNDS} in turns, Evidently once.",
            f"safeguards judge a sample of {SAMPLE:,} rows of each side and count gaps, infinities and words on all; "
            "its memory is that of both sizes together. Evidently: DataDriftPreset with its default tests, no page.",
        ],
    )


def decide(reference: pd.DataFrame, current: pd.DataFrame) -> Measurement:
    sides = [profile(frame, sample=SAMPLE, seed=0) for frame in (reference, current)]
    family = Family(columns=compared(*sides), digest="", look=1, alpha=ALPHA)
    return measured(compare(*sides, families=[family], min_effect=MIN_EFFECT), *sides)


def evidently(reference: pd.DataFrame, current: pd.DataFrame) -> object:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in reference if name.startswith("number")]
    words = [name for name in reference if name.startswith("word")]
    columns = DataDefinition(numerical_columns=numbers, categorical_columns=words)
    sides = [Dataset.from_pandas(frame, columns) for frame in (current, reference)]
    return Report([DataDriftPreset()]).run(*sides).dict()


def _frame(rows: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    numbers = {f"number {i}": draw.normal(size=rows) for i in range(COLUMNS - CATEGORIES)}
    words = {f"word {i}": np.array(list("abcde"))[draw.integers(5, size=rows)] for i in range(CATEGORIES)}
    return pd.DataFrame({**numbers, **words})


def _peak() -> float:
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
