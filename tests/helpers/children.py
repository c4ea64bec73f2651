"""What every Python that a test starts is given, by whatever starts it: the project, short process groups, and leave to
keep what it compiled, which a hundred others would compile again.

Torch's own default is half an hour, in which a test that hangs would say nothing. See startup/sitecustomize.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["GROUP_SECONDS", "ROOT", "SECONDS", "surroundings"]

ROOT = Path(__file__).resolve().parents[2]
STARTUP = Path(__file__).with_name("startup")
SECONDS = "TEST_GROUP_SECONDS"
"""The variable that says how long a process group waits where nobody names a time itself."""
GROUP_SECONDS = 60.0
"""So that one may start late: scripts start their processes one after the other, and a busy machine takes its time."""


def surroundings(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment variables to set over ``inherited``."""
    path = [str(STARTUP), str(ROOT), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONDONTWRITEBYTECODE": "",
        SECONDS: str(GROUP_SECONDS),
    }
