"""MLflow's model registry as the gate needs it: versions that are born with their tags, files, an alias, a history.

The registry knows no compare-and-swap and keeps no history of aliases. Parameters of a run, however, can be written
once: the database refuses a second value, whichever host sends it. Hence each registered model has a run of its own,
its home, of which the n-th parameter is the n-th entry of the history: of all who want to write it, one does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.core.process import environment
from safeguards.tracking.homes import EXPERIMENT, MODEL
from safeguards.tracking.names import LONGEST_PARAM, text
from safeguards.tracking.registered import ALIAS, ENTRY, HOME, RegisteredModel, asking, checked, path_of
from safeguards.tracking.store import alone, artifact_folder, reach, resolve, said, set_defaults

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["LONGEST_ENTRY", "ModelRegistry"]

LONGEST_ENTRY = LONGEST_PARAM
WITNESS = "SAFEGUARDS_WITNESS"
SETTLE_SECONDS = 1.0
"""How long a home that was just named must stay named: see `ModelRegistry._name_home`."""


class ModelRegistry(RegisteredModel):
    """One registered model in MLflow; made with the first version, and nothing is written before.

    Args:
        name: of the registered model: letters, digits, ``_``, ``-``, dots and spaces.
        tracking_uri: of the store; else ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db``.
        witness: folder in which the gate keeps how far it saw the history; else ``SAFEGUARDS_WITNESS``, else nowhere.

    Raises:
        ConfigurationError: for another name, and for a store or a folder that cannot be used as it is named.
        StoreAway: within seconds, where the store does not answer.

    Every method raises `RegistryError`, without secrets, when the store fails.

    """

    def __init__(self, name: str, tracking_uri: str | None = None, *, witness: Path | str | None = None) -> None:
        checked(name, of="ModelRegistry")
        self.witness = _folder("witness", witness) or _folder(WITNESS, os.environ.get(WITNESS))
        self._uri = resolve(tracking_uri)
        set_defaults()
        reach(self._uri)
        super().__init__(name, _client(self._uri))

    def __repr__(self) -> str:
        return f"ModelRegistry({self.name!r}, tracking_uri={said(self._uri)!r})"

    @asking
    def point(self, number: int) -> None:
        """Move the alias ``champion``; repeating it is harmless."""
        _set(lambda: self._client.set_registered_model_alias(self.name, ALIAS, str(number)))

    @asking
    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            _set(partial(self._client.set_model_version_tag, self.name, str(number), key, text(value)))

    @asking
    def register(self, folder: Path, place: str, *, tags: Mapping[str, str]) -> int:
        """Store a folder's files, and make of them a version that has its tags from the first moment; its number.

        ``place`` is a digest: the same files under the same digest may be sent again.
        """
        home = self._make_home()
        self._client.log_artifacts(home, str(folder), path_of(place))
        source = f"{self._client.get_run(home).info.artifact_uri}/{path_of(place)}"
        made = self._client.create_model_version(
            self.name, source, run_id=home, tags={key: text(value) for key, value in tags.items()}
        )
        return int(made.version)

    @asking
    def attach(self, place: str, file: Path) -> None:
        """Store a file beside those of a digest, for whoever looks into MLflow; sent again it replaces the first.

        The gate takes any but ``card.html`` for planted; `safeguards.gate.attach_card` notes that one.
        """
        self._client.log_artifact(self._make_home(), str(file), path_of(place))

    @asking
    def append(self, number: int, entry: str) -> bool:
        """Write the entry of this number, from 1: True for one writer of all hosts, False where it exists already.

        Raises `RegistryError` for an entry longer than `LONGEST_ENTRY`, and where the run of the history was deleted.
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
        run = self._client.get_run(home)
        if run.info.lifecycle_stage != "active":
            raise RegistryError(f"the run {home}, which keeps the history, was deleted: restore that run")
        return bool(run.data.params.get(key) == entry)

    def _make_home(self) -> str:
        """The home of this model, made with it: whoever makes the model names its home, and one of all hosts does."""
        if known := self._known_home():
            return known
        with alone(self._uri):
            if known := self._known_home():
                return known
            made = self._client.create_run(
                self._experiment(), run_name=f"history of {self.name}", tags={MODEL: self.name}
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


def _folder(setting: str, named: Path | str | None) -> Path | None:
    try:
        return Path(named).expanduser() if named else None
    except RuntimeError as error:
        raise ConfigurationError(f"{setting}={named}: {error}; name the folder in full") from None


def _set(work: Callable[[], object]) -> None:
    """Two that set the same for the first time both insert it, and the database takes one: the other sets it again."""
    try:
        work()
    except Exception as error:
        if "IntegrityError" not in str(error):
            raise
        work()


@asking
def _client(uri: str) -> MlflowClient:
    """Makes the tables of a new database too."""
    from mlflow.tracking import MlflowClient

    with alone(uri), environment({"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
