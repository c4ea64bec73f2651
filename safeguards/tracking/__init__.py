"""MLflow: the one room that imports it."""

from typing import TYPE_CHECKING

from safeguards.core.lazy import lazy

if TYPE_CHECKING:
    from safeguards.core.redact import safe_line
    from safeguards.tracking.audited import AUDITED, live_audits
    from safeguards.tracking.config import SaveConfig
    from safeguards.tracking.listing import Listing, RunList
    from safeguards.tracking.models import ModelReader
    from safeguards.tracking.reading import Artifact, Experiment, Found, Point, RunReader, RunRow, RunStory
    from safeguards.tracking.registered import RegisteredModel
    from safeguards.tracking.registry import ModelRegistry
    from safeguards.tracking.study import StudyTracker
    from safeguards.tracking.tracker import MLflowTracker

__all__ = [
    "AUDITED",
    "Artifact",
    "Experiment",
    "Found",
    "Listing",
    "MLflowTracker",
    "ModelReader",
    "ModelRegistry",
    "Point",
    "RegisteredModel",
    "RunList",
    "RunReader",
    "RunRow",
    "RunStory",
    "SaveConfig",
    "StudyTracker",
    "live_audits",
    "safe_line",
]

_HOMES = {
    **dict.fromkeys(("AUDITED", "live_audits"), "audited"),
    **dict.fromkeys(("Artifact", "Experiment", "Found", "Point", "RunReader", "RunRow", "RunStory"), "reading"),
    **dict.fromkeys(("Listing", "RunList"), "listing"),
    "MLflowTracker": "tracker",
    "ModelReader": "models",
    "ModelRegistry": "registry",
    "RegisteredModel": "registered",
    "SaveConfig": "config",
    "StudyTracker": "study",
    "safe_line": "safeguards.core.redact",
}


__getattr__ = lazy(__name__, _HOMES)
"""`SaveConfig` needs the command line's packages, `MLflowTracker` Lightning; who asks for neither loads neither."""
