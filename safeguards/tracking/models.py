"""Registered models as a reviewer reads them, through the same door as the runs: nothing is written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from safeguards.tracking.reading import RunReader
from safeguards.tracking.registered import HOME, RegisteredModel, asking

__all__ = ["ModelReader"]


class ModelReader(RegisteredModel):
    """A registered model of the store that ``reader`` reads.

    Raises `ConfigurationError` for a name that no model may have.
    """

    def __init__(self, name: str, reader: RunReader) -> None:
        super().__init__(name, reader.client)
        self._reader = reader

    @staticmethod
    def names(reader: RunReader) -> list[str]:
        """Of the models whose history the gate keeps. Raises `RegistryError`."""
        return _names(reader)

    def _fetch(self, home: str, path: str, target: Path) -> None:
        """By way of the reader, which knows where files lie inside MLflow's server too."""
        with suppress(LookupError):
            content = self._reader.artifact(home, path, below=path.rpartition("/")[0])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


@asking
def _names(reader: RunReader) -> list[str]:
    found, token = [], None
    while True:
        page = reader.client.search_registered_models(page_token=token)
        found += [str(one.name) for one in page if HOME in one.tags]
        token = page.token
        if not token:
            return sorted(found)
