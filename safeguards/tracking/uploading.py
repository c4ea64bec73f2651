"""Artifacts from a spool into a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.files import is_plain_name
from safeguards.core.redact import known_secrets
from safeguards.tracking.artifacts import stage
from safeguards.tracking.spool import ARTIFACTS

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["upload"]


def upload(client: MlflowClient, run_id: str, spool: Path, data: Mapping[str, Any], target: str, *, own: bool) -> bool:
    """What a line of artifacts names, to the folder ``target`` of the run; False where it is there no more.

    A copy is emptied once it has arrived. A ``source``, which stands where the disk had no room for a copy, is read for
    the process that named it only: a file that anybody may have written does not choose what of this machine is sent.
    """
    if "source" in data:
        source = Path(str(data["source"]))
        return own and source.is_dir() and _staged(client, run_id, source, target)
    name = data.get("copy")
    copy = spool / ARTIFACTS / str(name)
    if not is_plain_name(name) or copy.parent.is_symlink() or not _is_plain(copy):
        return False
    if any(copy.iterdir()):
        client.log_artifacts(run_id, str(copy), target or None)
        _empty(copy)
    return True


def _is_plain(copy: Path) -> bool:
    """Whether it is a folder of ordinary files and folders: who makes a copy leaves no link in it, and a pipe would let
    its reader wait.
    """
    if copy.is_symlink() or not copy.is_dir():
        return False
    inside = (Path(folder, name) for folder, folders, files in os.walk(copy) for name in (*folders, *files))
    return all((path.is_dir() or path.is_file()) and not path.is_symlink() for path in inside)


def _staged(client: MlflowClient, run_id: str, source: Path, target: str) -> bool:
    with tempfile.TemporaryDirectory() as place:
        stage(source, Path(place), known_secrets(os.environ))
        client.log_artifacts(run_id, place, target or None)
    return True


def _empty(copy: Path) -> None:
    """The folder itself stays: one that is gone was lost, one that is empty has arrived."""
    for path in copy.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
