"""What a safeguard says: a measurement while it is a number, a verdict once it has met a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeguards.core.limit import Limit

__all__ = ["Cost", "Measurement", "Moment", "Outcome", "Verdict", "plain"]


class Outcome(StrEnum):
    """How a measure stands to its limit. Only PASS and WARN let a model through."""

    PASS = "PASS"  # noqa: S105 - an outcome, not a password
    WARN = "WARN"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    NOT_EVALUATED = "NOT_EVALUATED"

    @property
    def admits(self) -> bool:
        """Whether a model with this outcome may go on."""
        return self in (Outcome.PASS, Outcome.WARN)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a verdict was reached: ``step`` counts optimizer steps, ``epoch`` starts at 0.

    ``stage`` is "validate", "test" or "train_epoch", or the end that left silence, such as "fit_end"; ``loader`` is the
    name of one of several, None for the only one.
    """

    stage: str
    epoch: int
    step: int
    loader: str | None = None

    def __str__(self) -> str:
        where = f"{self.stage}[{self.loader}]" if self.loader else self.stage
        return f"{where} epoch {self.epoch} step {self.step}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of the slowest process since the previous verdict, and the share of the fit so far."""

    seconds: float
    share_of_fit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a measure found, before any limit: ``value`` in its ``unit`` ("" for a share or a ratio), over ``n`` rows.

    ``interval`` bounds the true value at the confidence that ``details`` states; None where the
    measure has no error model. ``model_fault`` says that the model itself produced no number (a
    FAIL). ``insufficient`` says that the evidence cannot carry a decision (INCONCLUSIVE, whatever
    the value). ``shrunk`` says why the true value lies farther from 0 than this one: only a FAIL of a
    limit that 0 keeps stands, all else is INCONCLUSIVE. ``note`` is added to the reason. ``narrows``
    says that the interval shrinks with the root of n, so that the number of rows that would decide can
    be told.
    """

    value: float
    n: int
    interval: tuple[float, float] | None = None
    unit: str = ""
    note: str = ""
    model_fault: str | None = None
    insufficient: str | None = None
    shrunk: str | None = None
    narrows: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One answer of one safeguard.

    ``value``, ``limit``, ``margin`` and the ends of ``interval`` are in ``unit`` ("" for a share or a ratio); what zero
    means is the measure's to say. ``margin`` >= 0 is within the limit. ``value`` and ``margin`` are None where nothing
    was measured, ``interval`` where the measure has none too; its confidence stands in ``details``. ``n`` counts rows.
    ``rows_to_decide`` is about how many rows it would take in place of ``n``, were the value to stay; None unless the
    interval crosses the limit, and where no number of rows would do.
    """

    safeguard: str
    measure: str
    outcome: Outcome
    reason: str
    moment: Moment
    value: float | None = None
    limit: Limit | None = None
    margin: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    n: int = 0
    rows_to_decide: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; numbers that JSON lacks become the words "nan", "inf" and "-inf"."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """The inverse of `to_dict`. Raises ``KeyError``, ``TypeError`` or ``ValueError`` on other data."""
        from safeguards.core.limit import Limit

        interval, rows = data.get("interval"), data.get("rows_to_decide")
        return cls(
            safeguard=str(data["safeguard"]),
            measure=str(data["measure"]),
            outcome=Outcome(data["outcome"]),
            reason=str(data["reason"]),
            moment=_moment(data["moment"]),
            value=_number(data.get("value")),
            limit=None if data.get("limit") is None else Limit(**data["limit"]),
            margin=_number(data.get("margin")),
            unit=str(data.get("unit", "")),
            interval=None if interval is None else (float(interval[0]), float(interval[1])),
            n=int(data.get("n", 0)),
            rows_to_decide=None if rows is None else int(rows),
            details=dict(data.get("details") or {}),
            cost=_cost(data.get("cost")),
        )


def _moment(data: Mapping[str, Any]) -> Moment:
    loader = data.get("loader")
    return Moment(
        stage=str(data["stage"]),
        epoch=int(data["epoch"]),
        step=int(data["step"]),
        loader=None if loader is None else str(loader),
    )


def _cost(data: Mapping[str, Any] | None) -> Cost | None:
    return (
        None if data is None else Cost(seconds=float(data["seconds"]), share_of_fit=_number(data.get("share_of_fit")))
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: dict, list, str, int, float, bool or None.

    Numpy and torch scalars and arrays become numbers and lists; what has no plain form becomes its ``str``.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return _plain_number(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return _plain_sequence(value)


def _plain_number(value: float) -> Any:
    if isinstance(value, int):
        return int(value)
    return float(value) if math.isfinite(value) else str(float(value))


def _plain_sequence(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)
