"""Training that ends at the next step, whatever its minima say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

__all__ = ["Stop"]

NO_MINIMA = (0, None)


class Stop:
    """Lightning heeds ``should_stop`` only once ``min_epochs`` and ``min_steps`` are met, so they are lifted.

    They are put back once training has ended. Two of these on one trainer do not mistake each other's lift for what
    the user set.
    """

    def __init__(self) -> None:
        self._minima: tuple[int | None, int | None] | None = None

    def at_next_step(self, trainer: Trainer) -> None:
        """End the running fit; to be called alike on all ranks."""
        loop = trainer.fit_loop
        minima = (loop.min_epochs, loop.epoch_loop.min_steps)
        if self._minima is None and minima != NO_MINIMA:
            self._minima = minima
        loop.min_epochs, loop.epoch_loop.min_steps = NO_MINIMA
        trainer.should_stop = True

    def restore(self, trainer: Trainer) -> None:
        """Training has ended: the minima are the user's again."""
        if self._minima is not None:
            loop = trainer.fit_loop
            loop.min_epochs, loop.epoch_loop.min_steps = self._minima
            self._minima = None
