"""What a checkpoint consists of: a manifest of sizes and digests, written last and checked before anything is loaded.

DeepSpeed's checkpoints are pickles, which run what they hold when they are loaded. A folder without a manifest is not
whole, or not ours; one whose bytes do not give the digests of its manifest was cut short or changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safeguards.core.canonical import canonical, digest_of, parse
from safeguards.core.errors import EvidenceError
from safeguards.core.files import digest_of_file, read_whole, sync, write_whole
from safeguards.core.signing import CHECKPOINTS, Signer, Verifier

__all__ = ["MANIFEST", "Manifest", "by_age", "names_in", "sealed"]

MANIFEST = "safeguards.json"
OWN = frozenset({MANIFEST, f"{MANIFEST}.sig"})
FORM = 1
LARGEST = 16 << 20
"""Of the manifest itself: about a hundred thousand files."""
Sealed = tuple[str, int, str]
"""Name below the folder, bytes, SHA-256."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``files`` gives bytes and SHA-256 of every file by its name below the folder; ``step`` is the trainer's."""

    step: int
    files: Mapping[str, tuple[int, str]]

    @cached_property
    def digest(self) -> str:
        """Of the canonical form."""
        return digest_of(self._plain())

    def _plain(self) -> dict[str, Any]:
        return {"form": FORM, "step": self.step, "files": {name: list(held) for name, held in self.files.items()}}

    def write(self, folder: Path) -> None:
        """Write it whole, last of all, signed where `Signer.configured` has a key. Raises ``OSError``."""
        signer = Signer.configured()
        if signer is not None:
            write_whole(folder / f"{MANIFEST}.sig", signer.sign(self.digest, CHECKPOINTS))
        write_whole(folder / MANIFEST, canonical({"digest": self.digest, "manifest": self._plain()}) + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder, of which one byte more or less is an `EvidenceError`, as is a missing signature
        where `Verifier.configured` has keys.
        """
        if not (folder / MANIFEST).exists():
            raise EvidenceError(f"it has no manifest {MANIFEST}: it was not saved to its end, or not with one")
        content = read_whole(folder / MANIFEST, at_most=LARGEST)
        sealed = parse(content, what=str(folder / MANIFEST))
        try:
            data = sealed["manifest"]
            files = {str(name): (int(size), str(digest)) for name, (size, digest) in data["files"].items()}
            found = cls(step=int(data["step"]), files=files)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise EvidenceError(f"{MANIFEST} is no manifest of a checkpoint") from None
        if content != canonical({"digest": found.digest, "manifest": found._plain()}) + b"\n":
            raise EvidenceError(f"{MANIFEST} was changed after it was written: its bytes do not give its digest")
        verifier = Verifier.configured()
        if verifier is not None:
            verifier.check(found.digest, folder / f"{MANIFEST}.sig", CHECKPOINTS)
        return found

    def problem(self, folder: Path, share: slice = slice(None)) -> str | None:
        """Why the folder is not what was saved, in one sentence; None where it is.

        Names and sizes are held against those of all files, digests against those of a ``share`` of them in the order
        of names: several processes split what takes time.
        """
        found = names_in(folder)
        if missing := sorted(self.files.keys() - found):
            return f"{missing[0]!r} is missing"
        if strange := sorted(found - self.files.keys()):
            return f"{strange[0]!r} was not saved with it"
        for name, (size, _) in self.files.items():
            if (there := (folder / name).lstat().st_size) != size:
                return f"{name!r} has {there:,} of {size:,} bytes"
        return next((text for name in sorted(self.files)[share] if (text := self._changed(folder, name))), None)

    def _changed(self, folder: Path, name: str) -> str | None:
        try:
            same = digest_of_file(folder / name) == self.files[name]
        except EvidenceError as error:
            return str(error)
        return None if same else f"{name!r} was changed after it was saved: its bytes do not give its digest"


def sealed(folder: Path, names: Iterable[str]) -> list[Sealed]:
    """Bytes and digest of each file, once it would outlive a power cut. Raises `EvidenceError`, ``OSError``."""
    found = []
    for name in names:
        sync(folder / name)
        found.append((name, *digest_of_file(folder / name)))
    return found


def names_in(folder: Path) -> set[str]:
    """Everything below a folder that is no folder, links included, but for the manifest itself."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in paths} - OWN


def by_age(places: Iterable[Path]) -> list[tuple[int, Path]]:
    """The folders that have a sound manifest, each with its step, from the highest step down; equal ones by name.

    Clocks have no say: a host whose clock is wrong would win.
    """
    found = []
    for place in places:
        try:
            found.append((Manifest.read(place).step, place))
        except EvidenceError:
            continue
    return sorted(found, key=lambda one: (-one[0], one[1].name))
