"""The live audits of a model, as the store keeps them: runs of their own that name the model's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeguards.tracking.reading import row_of

if TYPE_CHECKING:
    from safeguards.tracking.reading import RunReader, RunRow

__all__ = ["AUDITED", "live_audits"]

AUDITED = "live_audit.record"
"""The tag that holds the digest of the record."""


def live_audits(reader: RunReader, record: str, *, newest: int = 20) -> list[RunRow]:
    """Those of the model with this record, the newest first."""
    experiments = [one.experiment_id for one in reader.experiments()]
    found = reader.client.search_runs(
        experiments,
        filter_string=f"tags.`{AUDITED}` = '{record}'",
        max_results=newest,
        order_by=["attributes.start_time DESC"],
    )
    return [row_of(run) for run in found]
