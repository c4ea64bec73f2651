"""Search hyperparameters of a training run under the limits of its safeguards.

    python -m pipelines.search --config conf/search.yaml
    python -m pipelines.search --config conf/search.yaml --trials 40

Exit codes: 0 a trial keeps every limit; 4 none does, and the closest are printed; 1 it broke; 2 the configuration is
wrong.
"""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse.typing import Path_fr
from tqdm import tqdm

from pipelines.book import Book
from pipelines.codes import BROKE, WRONG_CONFIGURATION, Parser
from pipelines.sensitivity import Again
from pipelines.train import read
from safeguards import ConfigurationError, SafeguardError
from safeguards.search import (
    Ending,
    Policy,
    Result,
    Search,
    Space,
    Task,
    Torchrun,
    declared_limits,
    place,
    without_secrets_of,
)
from safeguards.tracking import safe_line

__all__ = ["QUIET", "Settings", "Trials", "check_edges", "command", "main", "reporting"]

NOTHING_FEASIBLE = 4
STORAGE = "SAFEGUARDS_SEARCH_STORAGE"
REPORTER = "safeguards.search.TrialReporter"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


@dataclass(kw_only=True)
class Settings:
    """The keys of conf/search.yaml, where each is explained."""

    train: list[Path_fr]
    space: dict[str, dict[str, Any]]
    objectives: dict[str, Literal["minimize", "maximize"]]
    constraints: list[str] | None = None
    inconclusive_is_feasible: bool = False
    end_after_failures: int | None = None
    storage: str | None = None
    name: str = "search"
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int | None = 0
    trials: int = 20
    seconds: float | None = None
    trial_seconds: float | None = None
    retries: int = 2
    enqueue: list[dict[str, Any]] = field(default_factory=list)
    learn_from: str | None = None
    sensitivity: int = 0
    directory: str = "safeguards_runs/search"


def main(arguments: Sequence[str] | None = None) -> int:
    """The steps of a search, in order; its exit code."""
    settings = _parse(arguments)
    space = Space.read(settings.space)
    training = read([Path(file.absolute) for file in settings.train])
    constraints = _constraints(settings, training)
    job = reporting(
        training,
        settings.objectives,
        constraints,
        inconclusive_is_feasible=settings.inconclusive_is_feasible,
        end_after_failures=settings.end_after_failures,
    )
    check_edges(job, space)
    address = settings.storage or os.environ.get(STORAGE) or "sqlite:///search.db"
    search = Search(
        space=space,
        objectives=settings.objectives,
        constraints=constraints,
        policy=Policy(inconclusive_is_feasible=settings.inconclusive_is_feasible),
        storage=None if address == "memory" else address,
        name=settings.name,
        sampler=settings.sampler,
        pruner=settings.pruner,
        seed=settings.seed,
        retries=settings.retries,
    )
    for parameters in settings.enqueue:
        search.enqueue(parameters)
    if settings.learn_from is not None:
        search.learn_from(settings.learn_from)
    trials = Trials(
        job=job,
        folder=Path(settings.directory, settings.name),
        torchrun=_torchrun(settings, job, address),
        book=Book.of(search, job),
    )
    with _progress(trials.book, settings.name, settings.trials) as told:
        result = search.run(trials.train, trials=settings.trials, seconds=settings.seconds, told=told)
    print(_conclusion(result, trials))
    if result.best and settings.sensitivity:
        again = Again.of(search, job, seeds=settings.sensitivity, storage=None if address == "memory" else address)
        print(_train_again(again, trials))
    return 0 if result.best else NOTHING_FEASIBLE


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A folder per trial, with the configuration that it trains and what it printed.

    Each of the trial's processes reads that file; the reporter, last of the callbacks, compares its parameters.
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


def _parse(arguments: Sequence[str] | None) -> Settings:
    parser = Parser(prog="python -m pipelines.search", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", action="config", help="a YAML file such as conf/search.yaml")
    parser.add_class_arguments(Settings)
    given = parser.parse_args(arguments)
    given.pop("config")
    return Settings(**given.as_dict())


def _constraints(settings: Settings, training: Mapping[str, Any]) -> list[str]:
    """The limits that were asked for, all of them there are by default."""
    known = declared_limits(training["trainer"]["callbacks"] or [])
    for name in settings.constraints or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            hint = f"did you mean {near[0]!r}?" if near else "no safeguard of the training run has a limit"
            raise ConfigurationError(f"constraints: no safeguard sets {name!r}; {hint}")
    return known if settings.constraints is None else settings.constraints


def reporting(
    training: Mapping[str, Any],
    objectives: Iterable[str],
    constraints: Sequence[str],
    *,
    inconclusive_is_feasible: bool,
    end_after_failures: int | None = None,
) -> dict[str, Any]:
    """The training run with the callback that reports to the search."""
    reporter = {
        "objectives": list(objectives),
        "constraints": list(constraints),
        "policy": {"inconclusive_is_feasible": inconclusive_is_feasible},
        "end_after_failures": end_after_failures,
    }
    trainer = {**training["trainer"], **QUIET}
    trainer["callbacks"] = [*(trainer["callbacks"] or []), {"class_path": REPORTER, "init_args": reporter}]
    return {**training, "trainer": trainer}


def check_edges(job: Mapping[str, Any], space: Space) -> None:
    """Every edge of the space must parse, so that a wrong key or type is told before the first trial."""
    with tempfile.TemporaryDirectory() as folder:
        for corner in space.corners():
            file = Path(folder, "config.yaml")
            file.write_text(yaml.safe_dump(place(job, corner)))
            read([file])


def _torchrun(settings: Settings, job: Mapping[str, Any], address: str) -> Torchrun:
    devices = job["trainer"]["devices"]
    processes = len(devices) if isinstance(devices, list) else devices
    if not isinstance(processes, int) or processes < 1:
        raise ConfigurationError(f"trainer.devices is {devices!r}: a search must know how many processes a trial has")
    return Torchrun(
        command=("-m", "pipelines.train", "fit"),
        processes=processes,
        seconds=settings.trial_seconds,
        environment=without_secrets_of(address, {k: v for k, v in os.environ.items() if k != STORAGE}),
    )


def _train_again(again: Again, trials: Trials) -> str:
    """The sensitivity of the best trial, in words; as a page beside the trials and in the study's run."""
    folder = trials.folder / f"again-{again.number:04d}"
    beside = replace(trials, folder=folder, book=Book.of(again.study, trials.job))
    with _progress(beside.book, f"trial {again.number} again", len(again.variants)) as told:
        found = again.run(beside.train, told)
    page = again.write(found, folder)
    trials.book.keep(last=True, more={page.name: page.read_bytes()})
    return f"{found.text()}\nsensitivity: {page}"


@contextmanager
def _progress(book: Book, name: str, trials: int) -> Iterator[Callable[[Result], None]]:
    """What a search tells goes to a bar and into its book."""
    with tqdm(total=trials, desc=name, unit="trial") as bar:

        def told(found: Result) -> None:
            _show(bar, found)
            book.keep()

        try:
            yield told
        finally:
            book.keep(last=True)


def _show(bar: tqdm[Any], found: Result) -> None:
    bar.n = found.ended
    bar.set_postfix(feasible=len(found.feasible), pruned=found.pruned, failed=len(found.reasons))


def _conclusion(result: Result, trials: Trials) -> str:
    shown = result.best or result.closest
    return "\n".join([result.text(), *(f"trial {one.number}: {trials.configuration(one.number)}" for one in shown)])


def command() -> int:
    """The command line as a whole: its exit code, with an error of one line where the fault is not in the code."""
    try:
        return main()
    except ConfigurationError as error:
        print(f"error: {safe_line(error)}", file=sys.stderr)
        return WRONG_CONFIGURATION
    except SafeguardError as error:
        print(f"error: {safe_line(error)}", file=sys.stderr)
        return BROKE
    except SystemExit as ended:  # a parser has told why
        return int(ended.code or 0)


if __name__ == "__main__":
    sys.exit(command())
