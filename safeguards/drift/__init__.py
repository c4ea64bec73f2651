"""Has a table drifted from another? The guard asks it while training; what it is made of answers for any two tables."""

from safeguards.drift.findings import Comparison, Finding, compare_once
from safeguards.drift.frames import READABLE, Source, read_file
from safeguards.drift.measures import Standing
from safeguards.drift.profile import Profile, profile
from safeguards.drift.telling import measured

__all__ = [
    "READABLE",
    "Comparison",
    "Finding",
    "Profile",
    "Source",
    "Standing",
    "compare_once",
    "measured",
    "profile",
    "read_file",
]
