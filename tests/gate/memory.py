"""A registry in memory that answers as MLflow's does, in no time; `test_memory.py` holds the two side by side."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

from safeguards.core.errors import RegistryError
from safeguards.tracking.registered import PLACE, Version


class Store:
    """What is kept; any number of `MemoryRegistry` look at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[int, Version] = {}
        self.born = 0
        self.alias: int | None = None
        self.entries: dict[int, str] = {}
        self.runs: dict[str, str] = {}
        self.home_problems: list[str] = []
        self.lock = threading.Lock()


class MemoryRegistry:
    """Before and after each change ``at`` is called with the name of the change: a test stops there."""

    def __init__(self, store: Store, name: str = "risk", at=lambda step: None, witness=None) -> None:
        self.store, self.name, self.at, self.witness = store, name, at, witness

    def overtaken_by(self, other):
        """Once, before the next entry, another host does this first, and succeeds."""
        waiting = [other]

        def overtake(step):
            if step == "before entry" and waiting:
                assert waiting.pop()(MemoryRegistry(self.store))

        self.at = overtake

    def versions(self):
        return [self.store.kept[number] for number in sorted(self.store.kept)]

    def newest_record(self):
        tagged = [one.tags["safeguards.record"] for one in self.versions() if "safeguards.record" in one.tags]
        return tagged[-1] if tagged else None

    def champion(self):
        return self.store.alias

    def point(self, number):
        self.at("before point")
        if number not in self.store.kept:
            raise RegistryError(f"version {number} does not exist")
        self.store.alias = number
        self.at("after point")

    def tag(self, number, tags):
        what = " ".join(f"{key}={value}" for key, value in tags.items() if "ruling" not in key)
        self.at(f"before tag {what}")
        one = self.store.kept[number]
        self.store.kept[number] = replace(one, tags={**one.tags, **tags})
        self.at(f"after tag {what}")

    def register(self, folder, place, *, tags):
        self.at("before upload")
        shutil.copytree(folder, self._folder(place), dirs_exist_ok=True)
        self.at("before version")
        with self.store.lock:
            self.store.born += 1
            number = self.store.born
            self.store.kept[number] = Version(
                number=number, tags=dict(tags), source=str(self._folder(place)), made=number
            )
        self.at("after version")
        return number

    def attach(self, place, file):
        shutil.copyfile(file, self._folder(place) / file.name)

    def is_stored_by_us(self, version, place):
        return version.source == str(self._folder(place))

    def fetch(self, place, names, target):
        for name in names:
            if (self._folder(place) / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._folder(place) / name, target / name)

    def strangers(self, place, known):
        root = self._folder(place)
        folders = {name.rpartition("/")[0] for name in known}
        inside = [path for folder in sorted(folders) for path in (root / folder).glob("*")]
        found = [(path, path.relative_to(root).as_posix()) for path in inside]
        return sorted(name for path, name in found if name not in (known if path.is_file() else folders))

    def history(self):
        return [self.store.entries[number] for number in sorted(self.store.entries)]

    def home_problems(self):
        return self.store.home_problems

    def append(self, number, entry):
        self.at("before entry")
        with self.store.lock:
            written = self.store.entries.setdefault(number, entry) == entry
        self.at("after entry")
        return written

    def tracking(self, run_id):
        return self.store.runs.get(run_id)

    def _folder(self, place):
        if not PLACE.fullmatch(place):
            raise RegistryError(f"{place!r} is no digest under which files are stored")
        return self.store.folder / "records" / place
