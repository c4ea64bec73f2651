"""The page that a reviewer opens: the table of the decision above Evidently's charts of a sample of the rows."""

from __future__ import annotations

import html
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safeguards.core.errors import SafeguardError
from safeguards.drift.escape import defused, policy, safe_names, secured
from safeguards.drift.measures import Standing

if TYPE_CHECKING:
    import pandas as pd

    from safeguards.drift.findings import Comparison

__all__ = ["DRAWN_COLUMNS", "DRAWN_ROWS", "draw"]

DRAWN_ROWS = 5000
DRAWN_COLUMNS = 60  # a browser takes seconds for more; drifted columns come first
DRAWN_VALUES = 20  # bars that a chart of categories can show
OTHER_VALUES = "other values"

_NOTE = (
    "This table is the decision. Below, Evidently draws a sample of the rows of the columns that it can draw, with the "
    "same decision and distance per column; its shares count these columns only."
)
_STYLE = (
    "<style>.sg{font:14px/1.4 sans-serif;margin:24px;color:#222}.sg table{border-collapse:collapse}"
    ".sg td,.sg th{border:1px solid #ccc;padding:3px 8px;text-align:left;vertical-align:top}"
    ".sg .drifted{background:#fde2e2}.sg .undecided{background:#fdf5d8}</style>"
)
_HEAD = "<tr><th>column</th><th>kind</th><th>standing</th><th>distance</th><th>adjusted p</th><th>findings</th></tr>"


def draw(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    found: Mapping[str, Comparison],
    path: Path,
    *,
    title: str,
    most: float = 0.5,
) -> str | None:
    """Write the page to ``path``, and beside it the names that had to be changed; says what went wrong with the charts.

    Where Evidently fails the page is the table alone. ``most`` is the share of drifted columns that its banner calls a
    drift of the data set.
    """
    order = list(Standing)
    found = dict(sorted(found.items(), key=lambda item: order.index(item[1].standing)))
    shown = safe_names(list(found))
    heading = _heading(found, shown, title)
    try:
        page, problem = secured(_evidently(reference, current, found, shown, most)), None
    except Exception as error:
        problem = f"the charts are missing: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        page = _without_charts(problem)
    _write(path, page.replace("<body>", f"<body>\n{heading}", 1))
    changed = {safe: name for name, safe in shown.items() if safe != name}
    _write(path.with_suffix(".names.json"), json.dumps(changed, indent=1))
    return problem


def _write(path: Path, text: str) -> None:
    """Write beside, then rename: a reader never sees half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8", newline="")
    os.replace(beside, path)


def _without_charts(problem: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="UTF-8">\n{policy()}</head>'
        f"<body><p>{html.escape(defused(problem))}</p></body></html>\n"
    )


def _heading(found: Mapping[str, Comparison], shown: Mapping[str, str], title: str) -> str:
    rows = "\n".join(_row(shown[name], comparison) for name, comparison in found.items())
    words = f"<h1>{html.escape(defused(title))}</h1><p>{_NOTE}</p>"
    return f'{_STYLE}<div class="sg">{words}\n<table>{_HEAD}\n{rows}\n</table></div>'


def _row(shown: str, comparison: Comparison) -> str:
    told = comparison.plain()
    findings = "; ".join(f"{name}: {text}" for name, text in told["findings"].items())
    p = "" if told["p_adjusted"] is None else f"{told['p_adjusted']:.2g}"
    distance = "" if told["distance"] is None else f"{told['distance']:.3f} ({told['of']})"
    cells = (shown, told["kind"], told["standing"], distance, p, findings)
    return (
        f'<tr class="{told["standing"]}">' + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
    )


def _evidently(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    found: Mapping[str, Comparison],
    shown: Mapping[str, str],
    most: float,
) -> str:
    os.environ.setdefault("DO_NOT_TRACK", "true")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        then, now = _drawable(reference, current, found, shown)
        numbers = [name for name in then if then[name].dtype.kind == "f"]
        words = [name for name in then if name not in numbers]
        described = DataDefinition(numerical_columns=numbers, categorical_columns=words)
        sides = [Dataset.from_pandas(side, data_definition=described) for side in (now, then)]
        _DECIDED.update({shown[name]: _score(comparison) for name, comparison in found.items()})
        name = _registered()
        report = Report([DataDriftPreset(num_method=name, cat_method=name, drift_share=most)])
        return str(report.run(*sides).get_html_str(as_iframe=False))


_DECIDED: dict[str, tuple[float, bool]] = {}


def _registered() -> str:
    """The name under which Evidently finds the test that only repeats what was decided."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    kinds = [ColumnType.Numerical, ColumnType.Categorical]
    test = StatTest(name="safeguards", display_name="as in the table above", allowed_feature_types=kinds)
    register_stattest(test, default_impl=_decided)
    return str(test.name)


def _decided(reference: pd.Series[Any], current: pd.Series[Any], kind: Any, threshold: float) -> tuple[float, bool]:
    return _DECIDED[str(reference.name)]


def _score(comparison: Comparison) -> tuple[float, bool]:
    distance = comparison.plain()["distance"]
    return 1.0 if distance is None else distance, comparison.standing is Standing.DRIFTED


def _drawable(
    reference: pd.DataFrame, current: pd.DataFrame, found: Mapping[str, Comparison], shown: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns that Evidently can take: with values on both sides, none infinite, few categories, safe names."""
    import pandas as pd

    drawn: dict[str, tuple[pd.Series[Any], pd.Series[Any]]] = {}
    for name, comparison in found.items():
        if name in reference and name in current and len(drawn) < DRAWN_COLUMNS:
            then, now = (_clean(side[name].iloc[:DRAWN_ROWS], comparison.kind) for side in (reference, current))
            if then.notna().any() and now.notna().any():
                drawn[shown[name]] = _few_values(then, now)
    if not drawn:
        raise SafeguardError("no column has values on both sides: the findings say what is wrong with each")
    return tuple(pd.DataFrame({name: pair[side] for name, pair in drawn.items()}) for side in (0, 1))  # type: ignore[return-value]


def _clean(column: pd.Series[Any], kind: str) -> pd.Series[Any]:
    import pandas as pd

    if kind not in ("number", "time"):
        return column.astype(object).map(lambda value: defused(str(value)), na_action="ignore").astype(object)
    if kind == "time":
        moments = pd.to_datetime(column, utc=True, errors="coerce")
        return (moments.dt.year + (moments.dt.dayofyear - 1) / 365.25).astype("float64")
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _few_values(then: pd.Series[Any], now: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """The same two sides with all but the most frequent words taken together; numbers as they are."""
    import pandas as pd

    if then.dtype.kind == "f":
        return then, now
    common = pd.concat([then, now]).value_counts().index[:DRAWN_VALUES]
    return then.where(then.isin(common) | then.isna(), OTHER_VALUES), now.where(
        now.isin(common) | now.isna(), OTHER_VALUES
    )
