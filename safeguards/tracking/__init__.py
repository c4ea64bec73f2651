"""MLflow: the one room that imports it."""

from typing import TYPE_CHECKING, Any

from safeguards.tracking.tracker import MLflowTracker

if TYPE_CHECKING:
    from safeguards.tracking.config import SaveConfig

__all__ = ["MLflowTracker", "SaveConfig"]


def __getattr__(name: str) -> Any:
    """`SaveConfig` needs the command line's packages; who trains from Python does not."""
    if name == "SaveConfig":
        from safeguards.tracking.config import SaveConfig

        return SaveConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
