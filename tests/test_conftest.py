"""Continuous integration asks that no browser test is skipped; this shows that it would notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """\
import pytest

@pytest.mark.browser
def test_page():
    pytest.skip("no browser")

def test_other():
    pytest.skip("no reason to fail")
"""


@pytest.mark.parametrize(
    ("options", "code", "said"), [([], 0, "2 skipped"), (["--no-skip=browser"], 1, "1 failed, 1 skipped")]
)
def test_a_skipped_browser_test_fails_under_no_skip(options: list[str], code: int, said: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    own = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        command, cwd=tmp_path, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert said in done.stdout
    assert ("test_page was skipped under --no-skip=browser" in done.stdout) is bool(options)
