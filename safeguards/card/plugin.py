"""The review page inside MLflow's server: ``mlflow server --app-name safeguards``."""

from __future__ import annotations

from typing import Any

__all__ = ["create_app"]


def create_app() -> Any:
    """What MLflow asks its plugin for: its own application, with the review page below ``/safeguards``."""
    from safeguards.card.app import review_pages
    from safeguards.tracking.serving import inside_mlflow

    return inside_mlflow(review_pages)
