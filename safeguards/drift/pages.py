"""Pages that wait to be drawn: of each loader the last judgement, at the end of a fit or at once outside one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards.core.names import encode
from safeguards.core.progress import progress

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from safeguards.core.scene import Scene

__all__ = ["Pages", "page_path"]


def page_path(label: str, scene: Scene) -> Path:
    """Where the page of this loader goes."""
    loader = [] if scene.loader.name is None else [encode(scene.loader.name)]
    return scene.directory / "drift" / f"{'-'.join([label, scene.moment.stage, *loader])}.html"


class Pages:
    """By path what draws a page, and says what went wrong with its charts."""

    def __init__(self) -> None:
        self._waiting: dict[Path, Callable[[], str | None]] = {}

    def keep(self, path: Path, page: Callable[[], str | None]) -> None:
        """Draw this one, and none that waited for the same path."""
        self._waiting[path] = page

    def draw(self, trainer: Trainer) -> list[str]:
        """Draw what was kept; what went wrong with the charts."""
        pages, self._waiting = self._waiting, {}
        problems = []
        with progress(trainer, "drift page", len(pages), after=0) as told:
            for page in pages.values():
                problems.append(page())
                told()
        return [problem for problem in problems if problem]
