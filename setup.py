"""Carries the reference application into the wheel, so that `safeguards init` finds it anywhere."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TEMPLATE = ("pipelines", "conf", "Dockerfile", ".dockerignore", "requirements.lock")


class BuildWithTemplate(build_py):
    """Copies the template beside the package's own modules; an editable install reads it from the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in TEMPLATE:
                copy(ROOT / name, Path(self.build_lib) / "safeguards" / "_template" / name)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithTemplate})
