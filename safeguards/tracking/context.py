"""Which job a run of MLflow was made in: what MLflow asks of every ``run_context_provider``."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ["VERSIONS", "JobContext", "versions"]

VERSIONS = "safeguards.versions"

TOLD = ("safeguards", "torch", "pytorch-lightning", "lightning", "deepspeed", "mlflow")


class JobContext:
    """While a trainer with safeguards is at work in this process, the runs that anyone makes in it name its job.

    Not the tag ``safeguards.run_id``: that is of the run of the ledger itself, and a resumed job is found by it.
    """

    def in_context(self) -> bool:
        """Whether there is such a job. Loads nothing: where there is one, its modules are there."""
        return self._job() is not None

    def tags(self) -> dict[str, str]:
        """The id of its ledger, and the versions that it runs with."""
        return {"safeguards.within": str(self._job()), VERSIONS: versions()}

    @staticmethod
    def _job() -> str | None:
        runs = sys.modules.get("safeguards.core.run")
        job: str | None = None if runs is None else runs.at_work()
        return job


def versions() -> str:
    """Of this library and of those that a training depends on most, in a line."""
    found = []
    for name in TOLD:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
