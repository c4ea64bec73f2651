"""`safeguards init DIR`: the reference application, copied into a repository of the user's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from safeguards.core.errors import ConfigurationError

TEMPLATE = ("pipelines", "conf", "Dockerfile", ".dockerignore", "requirements.lock")


def run(*, directory: Path, quiet: bool) -> int:
    """Copy the template; raises `ConfigurationError` before anything is written when a name is taken."""
    source = template()
    files = [path for name in TEMPLATE for path in files_of(source / name)]
    _refuse_to_overwrite(directory)
    for file in files:
        target = directory / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    if not quiet:
        print(f"{len(files)} files in {directory}. Next: cd {directory} && python -m pipelines.demo")
    return 0


def template() -> Path:
    """Where the files are: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_template"
    return inside if inside.exists() else package.parent


def files_of(place: Path) -> list[Path]:
    """A file itself, or all files below a folder but for compiled ones."""
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return [path for path in found if path.is_file() and path.suffix != ".pyc"]


def _refuse_to_overwrite(directory: Path) -> None:
    """A name that is free cannot be a link that leads out of ``directory``, so nothing is written elsewhere."""
    taken = [name for name in TEMPLATE if (directory / name).exists() or (directory / name).is_symlink()]
    if taken:
        raise ConfigurationError(f"{directory} already has {', '.join(taken)}; move it away or name another directory")
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory} is a file; name a directory")
