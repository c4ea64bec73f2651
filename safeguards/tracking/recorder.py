"""The client that user code gets: what it writes to the run of this job goes through the spool like everything else."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safeguards.tracking.entities import Parameter, Point, Tag, parameters, points, run_tags

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
else:
    MlflowClient = importlib.import_module("mlflow.tracking").MlflowClient

__all__ = ["Recorder"]


class Taker(Protocol):
    """Where what is recorded goes."""

    def is_own(self, run_id: str | None) -> bool: ...
    def put(self, entities: Sequence[Point | Parameter | Tag]) -> None: ...
    def freeze(self, fill: Callable[[Path], object], to: str) -> None: ...


class Recorder(MlflowClient):
    """MLflow's client; writes to the job's own run are appended to the spool and reach the store later.

    Everything else asks the store, which opens when it is first needed: a call that reads may wait, and fail.
    """

    def __init__(self, uri: str, taker: Taker) -> None:
        self.__dict__["_safeguards"] = (uri, taker)

    def __getattr__(self, name: str) -> Any:
        """The parts of a client are made when one of them is asked for: for a database that takes a connection."""
        if name.startswith("__") or "_tracking_client" in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        super().__init__(self.__dict__["_safeguards"][0])
        return getattr(self, name)

    @property
    def _taker(self) -> Taker:
        taker: Taker = self.__dict__["_safeguards"][1]
        return taker

    def log_metric(self, run_id: Any, key: str, value: Any, *more: Any, **named: Any) -> Any:
        """A point of this moment, unless a ``timestamp`` in milliseconds is given."""
        if not self._taker.is_own(run_id) or named.get("model_id"):
            return super().log_metric(run_id, key, value, *more, **named)
        given = {**dict(zip(("timestamp", "step"), more, strict=False)), **named}
        self._taker.put(_points(key, value, given.get("timestamp"), given.get("step")))
        return None

    def log_param(self, run_id: Any, key: str, value: Any, *more: Any, **named: Any) -> Any:
        """The value, as MLflow gives it back."""
        if not self._taker.is_own(run_id):
            return super().log_param(run_id, key, value, *more, **named)
        self._taker.put(parameters({key: value}))
        return value

    def set_tag(self, run_id: Any, key: str, value: Any, *more: Any, **named: Any) -> Any:
        """Names and values lose their secrets."""
        if not self._taker.is_own(run_id):
            return super().set_tag(run_id, key, value, *more, **named)
        self._taker.put(run_tags({key: value}))
        return None

    def log_batch(self, run_id: Any, *lists: Any, **named: Any) -> Any:
        """Metrics, parameters and tags of `mlflow.entities`, in this order or by name."""
        if not self._taker.is_own(run_id):
            return super().log_batch(run_id, *lists, **named)
        given = {**dict(zip(("metrics", "params", "tags"), lists, strict=False)), **named}
        made = [one for m in given.get("metrics", ()) for one in _points(m.key, m.value, m.timestamp, m.step)]
        settings = parameters({param.key: param.value for param in given.get("params", ())})
        self._taker.put([*made, *settings, *run_tags({tag.key: tag.value for tag in given.get("tags", ())})])
        return None

    def log_artifact(self, run_id: Any, local_path: Any, artifact_path: str | None = None) -> None:
        """A copy is frozen at once: the file itself may change or go."""
        if not self._taker.is_own(run_id):
            super().log_artifact(run_id, local_path, artifact_path)
            return
        source = Path(local_path)
        self._taker.freeze(lambda place: _copied(source, place / source.name), artifact_path or "")

    def log_artifacts(self, run_id: Any, local_dir: Any, artifact_path: str | None = None) -> None:
        """As `log_artifact`, with all that is in the folder."""
        if not self._taker.is_own(run_id):
            super().log_artifacts(run_id, local_dir, artifact_path)
            return
        self._taker.freeze(lambda place: shutil.copytree(local_dir, place, dirs_exist_ok=True), artifact_path or "")


def _points(name: str, value: Any, timestamp: int | None, step: int | None) -> list[Point | Tag]:
    made = points({name: value}, step)
    return [p._replace(timestamp=timestamp or p.timestamp) if isinstance(p, Point) else p for p in made]


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
