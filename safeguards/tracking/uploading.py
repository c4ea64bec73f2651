"""Artifacts from a spool into a run."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.files import is_plain_name
from safeguards.core.redact import known_secrets
from safeguards.tracking.artifacts import stage
from safeguards.tracking.spool import ARTIFACTS

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["NoRoomError", "identity", "upload"]

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Nothing of that name lies there, or it is a link or a socket."""
FULL = (errno.ENOSPC, errno.EDQUOT)
DEEPEST = 64
"""Folders within each other that a copy may have: each is held open while the next is looked at."""
PIECE = 1 << 20
PREFIX = "safeguards-sync-"


class NoRoomError(OSError):
    """The folder for temporary files has no room for a copy."""


class _Strange(Exception):  # noqa: N818 - a finding: "raise _Strange"
    """Something in a copy is neither an ordinary file nor a folder."""


def upload(
    client: MlflowClient,
    run_id: str,
    spool: Path,
    data: Mapping[str, Any],
    target: str,
    *,
    own: bool,
    seen: tuple[int, int] | None = None,
) -> bool:
    """What a line of artifacts names, to the folder ``target`` of the run; False where it is there no more.

    A copy is emptied once it has arrived. A ``source``, which stands where the disk had no room for a copy, is read for
    the process that named it only: a file that anybody may have written does not choose what of this machine is sent.
    ``seen`` is the `identity` of the spool whose lines were read: nothing is taken from another in its place.

    Raises `NoRoomError` where a copy has to go by way of the folder for temporary files, and does not fit.
    """
    if "source" in data:
        source = Path(str(data["source"]))
        return own and source.is_dir() and _staged(client, run_id, source, target)
    name = data.get("copy")
    if not is_plain_name(name):
        return False
    try:
        with _opened(spool) as held, _opened(ARTIFACTS, held) as copies, _opened(str(name), copies) as copy:
            if seen not in (None, _identity(os.fstat(held))):
                return False
            _send(client, run_id, copy, target, place=spool / ARTIFACTS / str(name) if own else None)
    except _Strange:
        return False
    return True


def identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from another that takes its place. Raises ``OSError`` where it is not there."""
    return _identity(folder.stat())


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _send(client: MlflowClient, run_id: str, copy: int, target: str, *, place: Path | None) -> None:
    """From ``place``, or by way of one that nobody else writes to: there it is what was looked at."""
    if names := _names(copy):
        size = sum(_take(name, copy) for name in names)
        with _taken(names, copy, size) if place is None else nullcontext(place) as folder:
            client.log_artifacts(run_id, str(folder), target or None)
        _empty(copy)


@contextmanager
def _taken(names: Sequence[str], copy: int, size: int) -> Iterator[Path]:
    with ExitStack() as held:
        with _room_for(size):
            place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
            for name in names:
                _take(name, copy, place / name)
        yield place


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    place = tempfile.gettempdir()
    try:
        if shutil.disk_usage(place).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoRoomError(f"{place} has no room for {size:,} bytes: let TMPDIR name a folder that has") from None


def _take(name: str, within: int, target: Path | None = None, depth: int = 0) -> int:
    """The bytes of a file or folder of the folder ``within``, copied if there is a ``target``. It is opened once, so
    that no link can take its place in between; who makes a copy leaves none in it. A pipe would let its reader wait.
    """
    with _opened(name, within) as opened:
        about = os.fstat(opened)
        if stat.S_ISDIR(about.st_mode) and depth < DEEPEST:
            if target:
                target.mkdir()
            return sum(_take(one, opened, target and target / one, depth + 1) for one in _names(opened))
        if stat.S_ISREG(about.st_mode):
            if target:
                _copied(opened, target, about.st_size)
            return about.st_size
        raise _Strange


def _copied(opened: int, target: Path, size: int) -> None:
    """No more than ``size`` bytes: another may write to it without end."""
    with os.fdopen(opened, "rb", closefd=False) as source, target.open("xb") as file:
        while size and (piece := source.read(min(size, PIECE))):
            size -= file.write(piece)


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
