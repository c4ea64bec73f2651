"""Which state of a checkpoint a safeguard goes on from, when it is asked otherwise than the run that was stopped.

A key is what is measured, a dot, and how it is judged.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from safeguards.core.compat import STEP_HOOKS

if TYPE_CHECKING:
    from safeguards.core.batch import BatchFields
    from safeguards.core.safeguard import Safeguard

__all__ = ["key_of", "run_id_in", "take_over"]

NOT_ASKED = ("label", "fields", "how", *STEP_HOOKS)
JUDGED_BY = ("reaction", "on_error", "decide_on")

UNDIVIDED = re.compile(r"(.+\[.*\])[0-9a-f]{8}", re.DOTALL)
"""A key that does not yet tell what is measured from how it is judged: kind, name and one digest of both."""


def key_of(safeguard: Safeguard) -> str:
    """The key of its state, the same in every process; a function, or a column of labels, does not count."""
    return f"{type(safeguard).__qualname__}[{safeguard.name}]{_measured(safeguard)}.{_judged(safeguard)}"


def _measured(safeguard: Safeguard) -> str:
    public = {name: value for name, value in vars(safeguard).items() if not name.startswith("_")}
    by = (*NOT_ASKED, *JUDGED_BY, *safeguard.judged_by)
    asked = {name: value for name, value in public.items() if name not in by and _has_plain_repr(value)}
    how = safeguard.how.features_of or safeguard.how.outputs_of, safeguard.how.output
    return _digest(asked | {"fields": _said_of(safeguard.fields), "how": how})


def _judged(safeguard: Safeguard) -> str:
    by = {name: getattr(safeguard, name) for name in (*JUDGED_BY, *safeguard.judged_by)}
    plain = {name: value for name, value in by.items() if _has_plain_repr(value)}
    return _digest(plain | {"limits": sorted(map(str, safeguard.limits.items())), "cap": safeguard.meter.cap})


def _said_of(fields: BatchFields | None) -> Any:
    """What of the fields reads the same in every process: not functions, not columns."""
    if fields is None:
        return None
    where = {name: getattr(fields, name) for name in ("inputs", "target", "row_id")} | dict(fields.groups)
    return sorted((name, _said_of_place(value)) for name, value in where.items())


def _said_of_place(value: Any) -> int | str:
    return int(value) if isinstance(value, Integral) else value if isinstance(value, str) else ""


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]


def _has_plain_repr(value: Any) -> bool:
    """Whether the ``repr`` of a value is the same in every process."""
    return isinstance(value, (str, int, float, bool, type(None))) or is_dataclass(value)


def take_over(key: str, keys: Sequence[str], states: dict[str, Any]) -> None:
    """Give each of ``keys`` that measures what ``key`` does, and has no state, one that was judged otherwise.

    ``keys`` are those of the trainer's callbacks. The first without a state gets the first that is nobody's, and so on.
    Last come states of keys that do not tell the two apart: of one kind and name they count as measured alike. Where
    they were not, looks are too many, not too few.
    """
    measured = key.rpartition(".")[0]
    seeking = [one for one in keys if one.rpartition(".")[0] == measured and one not in states]
    left = [one for one in states if one.rpartition(".")[0] == measured and one not in keys]
    left += [one for one in states if (old := UNDIVIDED.fullmatch(one)) and old[1] == measured[:-8]]
    states |= {one: states.pop(other) for one, other in zip(seeking, left, strict=False)}


def run_id_in(states: Mapping[str, Any]) -> str | None:
    """The run that the safeguards in a checkpoint were of; None where there were none."""
    ids = (
        state["run_id"] for state in states.values() if isinstance(state, dict) and {"run_id", "looks"} <= set(state)
    )
    return next((str(found) for found in ids if found), None)
