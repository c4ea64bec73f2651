"""MLflow's model registry as the gate needs it: versions that are born with their tags, files, an alias, a history.

The registry knows no compare-and-swap and keeps no history of aliases. Parameters of a run, however, can be written
once: the database refuses a second value, whichever host sends it. Hence each registered model has a run of its own,
its home, of which the n-th parameter is the n-th entry of the history: of all who want to write it, one does.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.tracking.names import LONGEST_PARAM, text
from safeguards.tracking.store import alone, artifact_folder, environment, quiet, reach, resolve, said, set_defaults

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["LONGEST_ENTRY", "ModelRegistry", "Version"]

ALIAS = "champion"
EXPERIMENT = "safeguards.gate"
HOME = "safeguards.home"
ENTRY = "history"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,99}")
PLACE = re.compile(r"[0-9a-f]{64}")
LONGEST_ENTRY = LONGEST_PARAM
LARGEST_PAGE = 1000
SILENT = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
SETTLE_SECONDS = 1.0
"""How long a home that was just named must stay named: see `ModelRegistry._name_home`."""


P = ParamSpec("P")
T = TypeVar("T")


def _asking(work: Callable[P, T]) -> Callable[P, T]:
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


class ModelRegistry:
    """One registered model in MLflow; made with the first version, and nothing is written before.

    Args:
        name: of the registered model: letters, digits, ``_``, ``-``, dots and spaces.
        tracking_uri: of the store; else ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db``.

    Raises:
        ConfigurationError: for another name, and within seconds where the store is not there.

    Every method raises `RegistryError`, without secrets, when the store fails.

    """

    def __init__(self, name: str, tracking_uri: str | None = None) -> None:
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"ModelRegistry({name[:100]!r}): expected letters, digits, spaces, _, - and dots, at most 100"
            )
        self.name = name
        self._uri = resolve(tracking_uri)
        self._home: str | None = None
        set_defaults()
        reach(self._uri)
        self._client = _client(self._uri)

    def __repr__(self) -> str:
        return f"ModelRegistry({self.name!r}, tracking_uri={said(self._uri)!r})"

    @_asking
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

    @_asking
    def champion(self) -> int | None:
        """The version that the alias ``champion`` points to."""
        model = self._model()
        number = None if model is None else model.aliases.get(ALIAS)
        return None if number is None else int(number)

    @_asking
    def point(self, number: int) -> None:
        """Move the alias ``champion``; repeating it is harmless."""
        self._client.set_registered_model_alias(self.name, ALIAS, str(number))

    @_asking
    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, str(number), key, text(value))

    @_asking
    def register(self, folder: Path, place: str, *, tags: Mapping[str, str]) -> int:
        """Store a folder's files, and make of them a version that has its tags from the first moment; its number.

        ``place`` is a digest: the same files under the same digest may be sent again.
        """
        home = self._make_home()
        self._client.log_artifacts(home, str(folder), _path(place))
        source = f"{self._client.get_run(home).info.artifact_uri}/{_path(place)}"
        made = self._client.create_model_version(
            self.name, source, run_id=home, tags={key: text(value) for key, value in tags.items()}
        )
        return int(made.version)

    @_asking
    def is_stored_by_us(self, version: Version, place: str) -> bool:
        """Whether a version's files are where `register` puts those of this digest: what is checked is served."""
        home = self._known_home()
        if home is None:
            return False
        return version.source == f"{self._client.get_run(home).info.artifact_uri}/{_path(place)}"

    @_asking
    def fetch(self, place: str, names: Sequence[str], target: Path) -> None:
        """Copy the files of these names, such as ``model/weights.safetensors``, that were stored under a digest.

        A name that is not there is left out.
        """
        home = self._known_home()
        for name in names if home is not None else ():
            self._fetch(str(home), f"{_path(place)}/{name}", target / name)

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

    @_asking
    def history(self) -> list[str]:
        """The entries, oldest first, as they were written."""
        home = self._known_home()
        held = {} if home is None else self._client.get_run(home).data.params
        numbered = sorted((int(key.rpartition(".")[2]), value) for key, value in held.items() if _is_entry(key))
        return [value for _, value in numbered]

    @_asking
    def append(self, number: int, entry: str) -> bool:
        """Write the entry of this number, from 1: True for one writer of all hosts, False where it exists already.

        Raises `RegistryError` for an entry longer than `LONGEST_ENTRY`.
        """
        if len(entry) > LONGEST_ENTRY:
            raise RegistryError(f"an entry of the history has {len(entry)} characters; {LONGEST_ENTRY} fit")
        key = f"{ENTRY}.{number:06d}"
        home = self._make_home()
        try:
            self._client.log_param(home, key, entry)
        except Exception as error:
            if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
                raise
        return bool(self._client.get_run(home).data.params.get(key) == entry)

    @_asking
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

    def _make_home(self) -> str:
        """The home of this model, made with it: whoever makes the model names its home, and one of all hosts does."""
        if known := self._known_home():
            return known
        with alone(self._uri):
            if known := self._known_home():
                return known
            made = self._client.create_run(
                self._experiment(), run_name=f"history of {self.name}", tags={"safeguards.model": self.name}
            ).info.run_id
            self._client.set_terminated(made)
            self._name_home(made)
        self._home = None
        home = str(self._known_home())
        if home != made:
            self._client.delete_run(made)
        return home

    def _name_home(self, home: str) -> None:
        """A model that was made without the gate gets its home by a tag, which the last of two hosts would set: each
        waits and takes what stands then. A host that needs more than a second from its look to its tag would
        take the home away from the other; it can happen once in the life of such a model.
        """
        try:
            self._client.create_registered_model(self.name, tags={HOME: home})
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                raise
            model = self._model()
            if model is not None and HOME not in model.tags:
                self._client.set_registered_model_tag(self.name, HOME, home)
                time.sleep(SETTLE_SECONDS)

    def _experiment(self) -> str:
        """Made here, unless it is there or another host makes it at this moment."""
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(self._client.create_experiment(EXPERIMENT, artifact_folder(self._uri, EXPERIMENT)))
            except Exception as error:
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise RegistryError(f"the experiment {EXPERIMENT!r} was deleted: restore it, it holds the histories")
        return str(found.experiment_id)


@_asking
def _client(uri: str) -> MlflowClient:
    """Makes the tables of a new database too."""
    from mlflow.tracking import MlflowClient

    with alone(uri), environment({"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _version(found: Any) -> Version:
    return Version(
        number=int(found.version),
        tags=dict(found.tags),
        source=str(found.source),
        made=int(found.creation_timestamp or 0),
    )


def _path(place: str) -> str:
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
