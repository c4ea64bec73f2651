"""Headless Chromium, for tests of what a page does once it is opened."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.markup import Parsed

__all__ = ["browser", "opened"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no Chromium: `apt-get install chromium` lets this test run"
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-quic --virtual-time-budget=10000"
)


def browser(test: object) -> object:
    """Marks a test that opens a page."""
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)(test))


def opened(address: str, profile: Path, *switches: str) -> Parsed:
    """The page at ``address`` as it stands once its scripts have run."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *SWITCHES.split(), f"--user-data-dir={profile}", "--dump-dom", *switches, address]
    return Parsed(subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout)
