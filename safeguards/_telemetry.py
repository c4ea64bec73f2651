"""Libraries that report home are asked not to, before any of them is imported; a user's own setting is kept."""

import os

# The word "true" is what MLflow asks for in DO_NOT_TRACK; Evidently takes any value.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
