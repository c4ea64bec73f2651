"""Artifacts from a spool into a run."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.files import is_plain_name
from safeguards.core.redact import known_secrets
from safeguards.tracking.artifacts import stage
from safeguards.tracking.spool import ARTIFACTS

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["upload"]

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Nothing of that name lies there, or it is a link or a socket."""


class _Strange(Exception):  # noqa: N818 - a finding: "raise _Strange"
    """Something in a copy is neither an ordinary file nor a folder."""


def upload(client: MlflowClient, run_id: str, spool: Path, data: Mapping[str, Any], target: str, *, own: bool) -> bool:
    """What a line of artifacts names, to the folder ``target`` of the run; False where it is there no more.

    A copy is emptied once it has arrived. A ``source``, which stands where the disk had no room for a copy, is read for
    the process that named it only: a file that anybody may have written does not choose what of this machine is sent.
    """
    if "source" in data:
        source = Path(str(data["source"]))
        return own and source.is_dir() and _staged(client, run_id, source, target)
    name = data.get("copy")
    if not is_plain_name(name):
        return False
    try:
        with _opened(spool / ARTIFACTS) as copies, _opened(str(name), copies) as copy:
            _send(client, run_id, copy, target, place=spool / ARTIFACTS / str(name) if own else None)
    except _Strange:
        return False
    return True


def _send(client: MlflowClient, run_id: str, copy: int, target: str, *, place: Path | None) -> None:
    """From ``place``, or by way of one that nobody else writes to: there it is what was looked at."""
    if names := _names(copy):
        with _taken(names, copy) if place is None else nullcontext(place) as folder:
            client.log_artifacts(run_id, str(folder), target or None)
        _empty(copy)


@contextmanager
def _taken(names: Sequence[str], copy: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            _take(name, copy, Path(place, name))
        yield Path(place)


def _take(name: str, within: int, target: Path) -> None:
    """Copy a file or folder of the folder ``within``. It is opened once, so that no link can take its place in between;
    who makes a copy leaves none in it. A pipe would let its reader wait.
    """
    with _opened(name, within) as opened:
        mode = os.fstat(opened).st_mode
        if stat.S_ISDIR(mode):
            target.mkdir()
            for one in _names(opened):
                _take(one, opened, target / one)
        elif stat.S_ISREG(mode):
            with os.fdopen(opened, "rb", closefd=False) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file)
        else:
            raise _Strange


@contextmanager
def _opened(name: str | Path, within: int | None = None) -> Iterator[int]:
    """A file or folder, by its descriptor. Raises `_Strange` for a link."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
    except OSError as error:
        if error.errno in ABSENT:
            raise _Strange from None
        raise
    try:
        yield opened
    finally:
        os.close(opened)


def _names(folder: int) -> list[str]:
    try:
        return os.listdir(folder)
    except NotADirectoryError:
        raise _Strange from None


def _staged(client: MlflowClient, run_id: str, source: Path, target: str) -> bool:
    with tempfile.TemporaryDirectory() as place:
        stage(source, Path(place), known_secrets(os.environ))
        client.log_artifacts(run_id, place, target or None)
    return True


def _empty(copy: int) -> None:
    """The folder itself stays: one that is gone was lost, one that is empty has arrived."""
    with os.scandir(copy) as found:
        for one in list(found):
            if one.is_dir(follow_symlinks=False):
                shutil.rmtree(one.name, ignore_errors=True, dir_fd=copy)
            else:
                os.unlink(one.name, dir_fd=copy)
