"""Runs that hold a history of a registered model: its home, and any that was its home before somebody named another.

Whoever may write to MLflow can make a registered model name another run, or none. The parameters of the run that held
the history stay, and tell of it: the first entry names the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["EXPERIMENT", "FIRST", "MODEL", "homes_of"]

EXPERIMENT = "safeguards.gate"
MODEL = "safeguards.model"
FIRST = "history.000001"


def homes_of(client: MlflowClient, name: str) -> list[str]:
    """Ids of the runs that hold entries on the model ``name``, those of deleted runs included."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    named = f'"model":"{name}"'
    by_tag = _found(client, experiment.experiment_id, f"tags.`{MODEL}` = '{name}'")
    by_entry = _found(client, experiment.experiment_id, f"params.`{FIRST}` LIKE '%{named}%'")
    held = [run for run in by_tag if FIRST in run.data.params]
    held += [run for run in by_entry if named in run.data.params[FIRST]]  # LIKE takes any letter for "_"
    return sorted({run.info.run_id for run in held})


def _found(client: MlflowClient, experiment: str, condition: str) -> Iterator[Run]:
    from mlflow.entities import ViewType

    token = None
    while True:
        page = client.search_runs([experiment], condition, run_view_type=ViewType.ALL, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
