"""The two sides of a comparison: which rows are in a table, which come in batches, and both as profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import NotApplicable
from safeguards.drift.frames import Source, module_frame, read_file
from safeguards.drift.profile import Profile, profile
from safeguards.drift.sides import RowTable, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from safeguards.core.scene import Scene

__all__ = ["Tables"]


class Tables:
    """``reference``, ``current`` and ``columns`` as `DriftReport` has them; a sample is chosen by ``seed``.

    Each side comes as a profile and, where its file is half-written, what shows it. The reference is read once a fit.
    """

    def __init__(self, *, reference: Any, current: Any, columns: Sequence[str] | None, seed: int) -> None:
        self._given, self._given_now, self._columns, self._seed = reference, current, columns, seed
        self._known: dict[int, tuple[Profile, str | None]] = {}

    def forget(self) -> None:
        """Read the reference anew."""
        self._known.clear()

    def hold(self, scene: Scene) -> bool:
        """Whether a table has the current rows. ``frame(split)`` cannot tell the rows of several loaders apart."""
        has_frame = callable(getattr(getattr(scene.trainer, "datamodule", None), "frame", None))
        return not isinstance(self._given_now, str) or (has_frame and scene.loader.name is None)

    def reference(self, then: RowTable | None, scene: Scene, k: int) -> tuple[Profile, str | None]:
        """Rank 0: at most k rows of the reference, with what is asked of the training rows ``then`` beside them.

        Raises `NotApplicable` where there is no table and should be one.
        """
        if then is not None and not self.hold(scene):
            return then.profile(sample=k, seed=self._seed), None
        if k not in self._known:
            self._known = {k: self._profiled(self._reference_table(scene), k)}
        table, torn = self._known[k]
        return (table if then is None else joined(table, then.profile(sample=k, seed=self._seed))), torn

    def _reference_table(self, scene: Scene) -> Source:
        if not self.hold(scene) and self._columns is None:
            raise NotApplicable("columns= must name the features of the inputs to compare them with a reference table")
        source = module_frame(scene.trainer, "train") if isinstance(self._given, str) else _source(self._given)
        if source is None:
            raise NotApplicable(
                'reference="train" has no table: give the data module a frame(split), or reference= one'
            )
        return source

    def current(self, now: RowTable, scene: Scene, k: int) -> tuple[Profile, str | None]:
        """Rank 0: at most k current rows, those of the batches ``now`` beside those of a table where there is one."""
        rows = now.profile(sample=k, seed=self._seed)
        if not self.hold(scene):
            return rows, None
        split = "test" if scene.moment.stage == "test" else "validation"
        source = module_frame(scene.trainer, split) if isinstance(self._given_now, str) else _source(self._given_now)
        assert source is not None  # noqa: S101 - it is in a table
        table, torn = self._profiled(source, k)
        return joined(table, rows), torn

    def _profiled(self, source: Source, k: int) -> tuple[Profile, str | None]:
        known = profile(source.frame, sample=k, seed=self._seed, columns=self._columns, loose=source.loose)
        return known, source.torn


def _source(given: Any) -> Source:
    return read_file(given) if isinstance(given, Path) else Source(frame=given)
