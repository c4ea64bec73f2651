"""One point per step, although a job that was resumed trains some steps twice.

MLflow takes no point back. Of two points of one metric at one step the first to reach the store therefore keeps its
place. The later one, if its value is the same, is that point again and is dropped; if not, it goes to the metric
``repeated/<name>``, so that both trainings of the step stay in sight and neither is drawn as a zigzag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING

from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.names import key

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["Earlier"]


class Earlier:
    """The points of a run that other jobs left there, told from a job's own by what its spool holds.

    ``own`` gives the step and the moment, in milliseconds, of each point of the job. When it ran tells nothing: the
    clock of the host before may have been ahead.
    """

    def __init__(self, client: MlflowClient, run_id: str, own: Callable[[], Set[tuple[int, int]]]) -> None:
        self._client, self._run, self._points = client, run_id, own
        self._known: dict[str, dict[int, float]] = {}
        self.repeated: set[int] = set()

    def settle(self, entities: Sequence[Point | Parameter | Tag]) -> list[Point | Parameter | Tag]:
        """What is to be sent of these: repeated steps are dropped or renamed, and noted in ``repeated``."""
        settled = [self._settled(one) if isinstance(one, Point) else one for one in entities]
        return [one for one in settled if one is not None]

    def _settled(self, point: Point) -> Point | None:
        """A point whose step nobody counted is no repetition."""
        while point.step is not None and point.step in (there := self._there(point.key)):
            self.repeated.add(point.step)
            if _same(there[point.step], point.value):
                return None
            point = point._replace(key=key(f"repeated/{point.key}"))
        return point

    def _there(self, name: str) -> dict[int, float]:
        if name not in self._known:
            history = self._client.get_metric_history(self._run, name)
            self._known[name] = {p.step: p.value for p in history if (p.step, p.timestamp) not in self._own}
        return self._known[name]

    @cached_property
    def _own(self) -> Set[tuple[int, int]]:
        return self._points()


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
