"""The trials of a search over a training run's configuration: what each of them trains, and where it lies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from safeguards.search.book import Book
from safeguards.search.constraints import Policy
from safeguards.search.line import Ending
from safeguards.search.result import Result
from safeguards.search.space import Space, place
from safeguards.search.study import Task
from safeguards.search.torchrun import Torchrun

__all__ = ["QUIET", "Trials", "check_edges", "reporting"]

REPORTER = "safeguards.search.TrialReporter"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}
"""Of the trainer: nobody watches the processes of a trial."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A folder per trial, with the configuration that it trains and what it printed.

    ``job`` is what `reporting` gives. Each of the trial's processes reads that file; the reporter, last of the
    callbacks, compares its parameters.
    """

    job: Mapping[str, Any]
    folder: Path
    torchrun: Torchrun
    book: Book

    def train(self, task: Task) -> Ending:
        """Write the configuration and train it in processes of its own."""
        file = self.configuration(task.number)
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = self.book.marked(place(self.job, task.parameters), task.number)
        whole["trainer"]["callbacks"][-1]["init_args"]["parameters"] = dict(task.parameters)
        file.write_text(yaml.safe_dump(whole, sort_keys=False))
        return self.torchrun.run([f"--config={file}"], file.parent, task.prune)

    def configuration(self, number: int) -> Path:
        """The file that trains what this trial trained."""
        return self.folder / f"trial-{number:04d}" / "config.yaml"

    def text(self, result: Result) -> str:
        """For people: the result, and what trains its best trials, or the closest, once more."""
        shown = result.best or result.closest
        return "\n".join([result.text(), *(f"trial {one.number}: {self.configuration(one.number)}" for one in shown)])


def reporting(
    training: Mapping[str, Any],
    objectives: Iterable[str],
    constraints: Sequence[str],
    *,
    policy: Policy,
    end_after_failures: int | None = None,
) -> dict[str, Any]:
    """The configuration of a training run, with the callback that reports to the search."""
    reporter = {
        "objectives": list(objectives),
        "constraints": list(constraints),
        "policy": asdict(policy),
        "end_after_failures": end_after_failures,
    }
    trainer = {**training["trainer"], **QUIET}
    trainer["callbacks"] = [*(trainer["callbacks"] or []), {"class_path": REPORTER, "init_args": reporter}]
    return {**training, "trainer": trainer}


def check_edges(job: Mapping[str, Any], space: Space, read: Callable[[Sequence[Path]], object]) -> None:
    """Every edge of the space must parse, so that a wrong key or type is told before the first trial.

    ``read`` parses the files of a training run, and raises what it will for one that is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        for corner in space.corners():
            file = Path(folder, "config.yaml")
            file.write_text(yaml.safe_dump(place(job, corner)))
            read([file])
