"""What the suite is run with holds on the processes that share it too: no browser test is skipped unseen, and a test
draws the same wherever it runs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TEST = """\
import random

import pytest

DRAWN = set()

@pytest.mark.parametrize("time", [1, 2])
def test_draws(time):
    DRAWN.add(random.random())
    assert len(DRAWN) == 1

@pytest.mark.browser
def test_page():
    pytest.skip("no browser")

def test_other():
    pytest.skip("no reason to fail")
"""


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 0, "2 passed, 2 skipped in"),
        (["--no-skip=postgres", "--no-skip=browser", "-n1"], 1, "1 failed, 2 passed, 1 skipped in"),
    ],
)
def test_a_skipped_browser_test_fails_under_no_skip(options: list[str], code: int, said: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    own = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        command, cwd=tmp_path, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code
    assert said in done.stdout
    assert ("test_page was skipped under --no-skip=browser" in done.stdout) is bool(options)


def test_no_example_of_a_property_is_drawn_by_chance_or_fails_by_the_clock() -> None:
    assert settings().derandomize
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
