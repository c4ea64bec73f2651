"""A registered model as it is read: its versions, their files, its alias and its history. Nothing is written."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.core.process import environment
from safeguards.tracking.homes import homes_of
from safeguards.tracking.store import quiet, said

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["ALIAS", "ENTRY", "HOME", "PLACE", "RegisteredModel", "Version", "asking", "checked", "path_of"]

ALIAS = "champion"
HOME = "safeguards.home"
ENTRY = "history"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,99}")
PLACE = re.compile(r"[0-9a-f]{64}")
LARGEST_PAGE = 1000
SILENT = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}

P = ParamSpec("P")
T = TypeVar("T")


def asking(work: Callable[P, T]) -> Callable[P, T]:
    """Errors of MLflow quote URIs with their passwords: neither their text nor their chain may go on."""

    @wraps(work)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with quiet(), environment(SILENT):
                return work(*args, **kwargs)
        except (ConfigurationError, RegistryError):
            raise
        except Exception as error:
            cause = said(error)
        raise RegistryError(f"the model registry failed: {cause}")

    return ask


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model; ``made`` is in milliseconds by the clock of whoever made it."""

    number: int
    tags: Mapping[str, str]
    source: str
    made: int


class RegisteredModel:
    """The reading half of `ModelRegistry`, over a client that may be one that cannot write.

    Every method raises `RegistryError`, without secrets, when the store fails. ``witness`` is a folder in which whoever
    reads the history may keep what he saw of it; None for one who writes nothing.
    """

    witness: Path | None = None

    def __init__(self, name: str, client: MlflowClient) -> None:
        self.name = checked(name, of=type(self).__name__)
        self._client = client
        self._home: str | None = None
        self._homes: list[str] | None = None

    @asking
    def versions(self) -> list[Version]:
        """Every version that was not deleted, lowest number first."""
        found: list[Version] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(
                f"name = '{self.name}'", max_results=LARGEST_PAGE, page_token=token
            )
            found += [_version(one) for one in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda one: one.number)

    def newest_record(self) -> str | None:
        """The digest of the record of the highest version that has one: what a new record is chained to."""
        tagged = [one.tags["safeguards.record"] for one in self.versions() if "safeguards.record" in one.tags]
        return tagged[-1] if tagged else None

    @asking
    def champion(self) -> int | None:
        """The version that the alias ``champion`` points to."""
        model = self._model()
        number = None if model is None else model.aliases.get(ALIAS)
        return None if number is None else int(number)

    @asking
    def is_stored_by_us(self, version: Version, place: str) -> bool:
        """Whether a version's files are where `register` puts those of this digest: what is checked is served."""
        home = self._known_home()
        if home is None:
            return False
        return version.source == f"{self._client.get_run(home).info.artifact_uri}/{path_of(place)}"

    @asking
    def fetch(self, place: str, names: Sequence[str], target: Path) -> None:
        """Copy the files of these names, such as ``model/weights.safetensors``, that were stored under a digest.

        A name that is not there is left out.
        """
        home = self._known_home()
        for name in names if home is not None else ():
            self._fetch(str(home), f"{path_of(place)}/{name}", target / name)

    def _fetch(self, home: str, path: str, target: Path) -> None:
        if not self._is_there(home, path):
            return
        with tempfile.TemporaryDirectory() as place:
            found = self._client.download_artifacts(home, path, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(found, target)

    def _is_there(self, home: str, path: str) -> bool:
        folder = path.rpartition("/")[0]
        return any(info.path == path and not info.is_dir for info in self._client.list_artifacts(home, folder))

    @asking
    def strangers(self, place: str, known: Collection[str]) -> list[str]:
        """What is stored under a digest beside files of ``known`` names; of a folder with none of them, its name."""
        home = self._known_home()
        return [] if home is None else sorted(self._strangers(home, f"{path_of(place)}/", "", known))

    def _strangers(self, home: str, root: str, below: str, known: Collection[str]) -> Iterator[str]:
        for info in self._client.list_artifacts(home, f"{root}{below}".rstrip("/")):
            name = info.path.removeprefix(root)
            if info.is_dir and any(one.startswith(f"{name}/") for one in known):
                yield from self._strangers(home, root, name, known)
            elif info.is_dir or name not in known:
                yield name

    @asking
    def history(self) -> list[str]:
        """The entries, oldest first, as they were written."""
        home = self._known_home()
        held = {} if home is None else self._client.get_run(home).data.params
        numbered = sorted((int(key.rpartition(".")[2]), value) for key, value in held.items() if _is_entry(key))
        return [value for _, value in numbered]

    @asking
    def home_problems(self) -> list[str]:
        """One sentence for each thing that is wrong with the run that keeps the history, or with which run that is."""
        home = self._known_home()
        if self._homes is None:
            self._homes = homes_of(self._client, self.name)
        problems = [
            f"the run {other} holds a history of this model too, and the model names {home or 'no run'} as its home: "
            f"put its tag {HOME} right, or remove the other run for good"
            for other in self._homes
            if other != home
        ]
        if home is not None and self._client.get_run(home).info.lifecycle_stage != "active":
            problems.insert(0, f"the run {home}, which keeps it, was deleted: restore that run")
        return problems

    @asking
    def tracking(self, run_id: str) -> str | None:
        """The tag ``safeguards.tracking`` of a run: ``complete`` once all of it is stored; None without run or tag."""
        run = _unless_missing(lambda: self._client.get_run(run_id))
        return None if run is None else run.data.tags.get("safeguards.tracking")

    def _model(self) -> Any:
        return _unless_missing(lambda: self._client.get_registered_model(self.name))

    def _known_home(self) -> str | None:
        if self._home is None:
            model = self._model()
            self._home = None if model is None else model.tags.get(HOME)
        return self._home


def checked(name: str, *, of: str) -> str:
    """``name``. Raises `ConfigurationError` for one that no model may have."""
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"{of}({name[:100]!r}): expected letters, digits, spaces, _, - and dots, at most 100")
    return name


def _version(found: Any) -> Version:
    return Version(
        number=int(found.version),
        tags=dict(found.tags),
        source=str(found.source),
        made=int(found.creation_timestamp or 0),
    )


def path_of(place: str) -> str:
    if not PLACE.fullmatch(place):
        raise RegistryError(f"{place[:80]!r} is no digest under which files are stored")
    return f"records/{place}"


def _is_entry(key: str) -> bool:
    return re.fullmatch(rf"{ENTRY}\.\d{{6}}", key) is not None


def _unless_missing(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
