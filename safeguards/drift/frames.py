"""Where the two sides come from: a data frame, a Parquet or CSV file, or the data module's ``frame(split)``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError, NotApplicable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READABLE", "Source", "check_source", "module_frame", "read_file"]

READABLE = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A frame as its source has it; ``loose``: without types of its own; ``torn``: what shows it is half-written."""

    frame: pd.DataFrame
    loose: bool = False
    torn: str | None = None


def check_source(argument: str, value: Any, word: str) -> Any:
    """``value`` if it is the ``word``, a frame or a readable file, as a `Path` where it is one.

    Raises `ConfigurationError` otherwise.
    """
    if value == word if isinstance(value, str) else hasattr(value, "columns"):
        return value
    expected = f'expected "{word}", a data frame, or the path of a {", ".join(READABLE)} file'
    if not isinstance(value, (str, Path)):
        raise ConfigurationError(f"DriftReport({argument}={type(value).__name__}): {expected}")
    if not str(value).endswith(READABLE):
        raise ConfigurationError(f"DriftReport({argument}={str(value)!r}): {expected}")
    if not Path(value).is_file():
        raise ConfigurationError(f"DriftReport({argument}={str(value)!r}): there is no such file; {expected}")
    return Path(value)


def module_frame(trainer: Any, split: str) -> Source | None:
    """``trainer.datamodule.frame(split)``; None when there is no data module, or it has no ``frame``.

    Raises `NotApplicable` when it gives something else than a data frame.
    """
    frame = getattr(getattr(trainer, "datamodule", None), "frame", None)
    if not callable(frame):
        return None
    found = frame(split)
    if not hasattr(found, "columns"):
        raise NotApplicable(f"datamodule.frame({split!r}) gave a {type(found).__name__}: expected a pandas data frame")
    return Source(frame=found)


def read_file(path: Path) -> Source:
    """Read a Parquet or CSV file; nothing in it is executed. Raises `ConfigurationError` in one line when it cannot be.

    Dates of a CSV are read as such; a row with too many or too few fields is left out and told in ``torn``.
    """
    try:
        return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except Exception as error:
        text, kind = " ".join(str(error).split())[:200], "".join(path.suffixes[-2:])
        raise ConfigurationError(f"{path}: cannot be read as {kind}: {text}; write it anew") from error


def _read_parquet(path: Path) -> Source:
    from pyarrow import parquet  # type: ignore[import-untyped]

    return Source(frame=parquet.read_table(path, partitioning=None).to_pandas())


def _read_csv(path: Path) -> Source:
    from pyarrow import csv

    torn: list[Any] = []

    def leave_out(row: Any) -> str:
        torn.append(row)
        return "skip"

    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(invalid_row_handler=leave_out),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )
    return Source(frame=table.to_pandas(), loose=True, torn=_torn(path, torn))


def _torn(path: Path, rows: list[Any]) -> str | None:
    if not rows:
        return None
    first = rows[0]
    return (
        f"{len(rows)} rows of {path.name} have a wrong number of fields ({first.actual_columns} where "
        f"{first.expected_columns} are expected): the file looks half-written; write it again"
    )
