"""What there is to see of a search: every picture that it gives something to draw for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safeguards.search.importance import importance
from safeguards.search.plots import draw_front, draw_history, draw_importance, draw_limits

if TYPE_CHECKING:
    from safeguards.search.study import Search

__all__ = ["pictures_of", "shares_of"]


def shares_of(search: Search) -> dict[str, dict[str, float]]:
    """Which parameter moves which objective and which constraint; see `safeguards.search.importance`."""
    return importance(
        search.study,
        objectives=list(search.objectives),
        constraints=search.constraints,
        unmeasured=search.policy.unmeasured,
    )


def pictures_of(search: Search) -> dict[str, bytes]:
    """PNG files by name: the history, the front of several objectives, the limits, and importance from 10 trials on."""
    story = search.story()
    found = {"history.png": draw_history(story)}
    if len(story.objectives) > 1:
        found["front.png"] = draw_front(story)
    if story.constraints:
        found["limits.png"] = draw_limits(story)
    if shares := shares_of(search):
        found["importance.png"] = draw_importance(shares, title=f"{story.name}: what explains the variation of what")
    return found
