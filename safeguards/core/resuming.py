"""Which state of a checkpoint a safeguard goes on from, when it is asked otherwise than the run that was stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["run_id_in", "take_over"]

UNDIVIDED = re.compile(r"(.+\[.*\])[0-9a-f]{8}", re.DOTALL)
"""A key that does not yet tell what is measured from how it is judged: kind, name and one digest of both."""


def take_over(key: str, keys: Sequence[str], states: dict[str, Any]) -> None:
    """Give each of ``keys`` that measures what ``key`` does, and has no state, one that was judged otherwise.

    A key is what is measured, a dot, and how it is judged; ``keys`` are those of the trainer's callbacks. The first
    without a state gets the first that is nobody's, and so on. Last come states of keys that do not tell the two
    apart: of one kind and name they count as measured alike. Where they were not, looks are too many, not too few.
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
