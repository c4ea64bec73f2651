"""The same stores as the tests of tracking have."""

from tests.tracking.conftest import here

__all__ = ["here"]
