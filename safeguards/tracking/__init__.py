"""MLflow: the one room that imports it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeguards.tracking.config import SaveConfig
    from safeguards.tracking.listing import Listing, RunList
    from safeguards.tracking.reading import Artifact, Experiment, Found, Point, RunReader, RunRow, RunStory
    from safeguards.tracking.registry import ModelRegistry
    from safeguards.tracking.study import StudyTracker
    from safeguards.tracking.tracker import MLflowTracker

__all__ = [
    "Artifact",
    "Experiment",
    "Found",
    "Listing",
    "MLflowTracker",
    "ModelRegistry",
    "Point",
    "RunList",
    "RunReader",
    "RunRow",
    "RunStory",
    "SaveConfig",
    "StudyTracker",
]

_HOMES = {
    **dict.fromkeys(("Artifact", "Experiment", "Found", "Point", "RunReader", "RunRow", "RunStory"), "reading"),
    **dict.fromkeys(("Listing", "RunList"), "listing"),
    "MLflowTracker": "tracker",
    "ModelRegistry": "registry",
    "SaveConfig": "config",
    "StudyTracker": "study",
}


def __getattr__(name: str) -> Any:
    """`SaveConfig` needs the command line's packages, `MLflowTracker` Lightning; who asks for neither loads neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
