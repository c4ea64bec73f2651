"""Which state of a checkpoint a safeguard goes on from, when it is asked otherwise than the run that was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["run_id_in", "take_over"]


def take_over(key: str, keys: Sequence[str], states: dict[str, Any]) -> None:
    """Give each of ``keys`` that measures what ``key`` does, and has no state, one that was judged otherwise.

    A key is what is measured, a dot, and how it is judged; ``keys`` are those of the trainer's callbacks. The first
    without a state gets the first that is nobody's, and so on.
    """
    measured = key.rpartition(".")[0]
    seeking = [one for one in keys if one.rpartition(".")[0] == measured and one not in states]
    left = [one for one in states if one.rpartition(".")[0] == measured and one not in keys]
    states |= {one: states[other] for one, other in zip(seeking, left, strict=False)}


def run_id_in(states: Mapping[str, Any]) -> str | None:
    """The run that the safeguards in a checkpoint were of; None where there were none."""
    ids = (
        state["run_id"] for state in states.values() if isinstance(state, dict) and {"run_id", "looks"} <= set(state)
    )
    return next((str(found) for found in ids if found), None)
