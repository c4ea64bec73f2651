"""Where a study lives, and trials that nobody trains any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError
from safeguards.core.process import is_gone, is_here
from safeguards.core.ranks import describe
from safeguards.search.patience import patient

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["OWNER", "Retry", "attempts_lost", "begun", "open_storage", "take_up_orphans"]

OWNER = "owner"
LOST = "retry_history"
HEARTBEAT_SECONDS, GRACE_SECONDS = 30, 120
SQLITE_WAIT_SECONDS = 60
JOURNAL = "journal:"


class Retry:
    """Queues the parameters of a trial whose search is gone again, at most ``times`` times.

    Optuna's own callback copies the constraints too, and a constraint that is set once is never set again: the new
    attempt would be judged by the verdicts of the old one.
    """

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        import optuna

        history = [*trial.system_attrs.get(LOST, []), trial.number]
        if len(history) > self.times:
            return
        study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                system_attrs={**_fixed(trial), "failed_trial": history[0], LOST: history},
            )
        )


def _fixed(trial: FrozenTrial) -> dict[str, Any]:
    """What `Study.enqueue_trial` asked of it."""
    return {name: value for name, value in trial.system_attrs.items() if name == "fixed_params"}


def attempts_lost(trials: list[FrozenTrial]) -> set[int]:
    """Numbers of the attempts that were queued again: they do not count."""
    return {number for trial in trials for number in trial.system_attrs.get(LOST, [])}


def open_storage(address: str | None, retry: Retry) -> BaseStorage:
    """In memory for None, a file for ``journal:PATH``, else a database by its SQLAlchemy address, with a heartbeat.

    Raises `ConfigurationError` in one line without secrets when it cannot be opened.
    """
    import optuna

    if address is None:
        return optuna.storages.InMemoryStorage()
    try:
        if address.startswith(JOURNAL):
            from optuna.storages.journal import JournalFileBackend

            path = Path(address.removeprefix(JOURNAL))
            path.parent.mkdir(parents=True, exist_ok=True)
            return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        waits = {"connect_args": {"timeout": SQLITE_WAIT_SECONDS}} if address.startswith("sqlite") else {}
        database = optuna.storages.RDBStorage(
            address,
            engine_kwargs={"pool_pre_ping": True, **waits},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=retry,
        )
        return patient(optuna.storages.get_storage(database))
    except Exception as error:
        raise ConfigurationError(f"cannot open the study's storage: {describe(error)}") from None


def take_up_orphans(study: Study, retry: Retry) -> int:
    """Fail the running trials whose search on this host is gone, and queue them again; how many there were.

    A database knows them by its heartbeat too, on any host and once the grace is over; a file has no other way.
    """
    import optuna

    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    orphans = [trial for trial in running if _is_orphan(trial)]
    taken = 0
    for trial in orphans:
        try:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        except ValueError:
            continue  # another search was quicker
        retry(study, trial)
        taken += 1
    return taken


def _is_orphan(trial: FrozenTrial) -> bool:
    owner: Mapping[str, Any] | None = trial.user_attrs.get(OWNER)
    if owner is None:
        since = trial.datetime_start
        return since is not None and (datetime.now() - since).total_seconds() > GRACE_SECONDS
    return is_gone(owner)


def begun(study: Study) -> list[FrozenTrial]:
    """The trials that count: ended and not queued again, or running and going to end or to be taken up.

    Without a heartbeat nobody knows of those that run on other hosts, and they are not waited for.
    """
    import optuna
    from optuna.storages._heartbeat import is_heartbeat_enabled

    every = study.get_trials(deepcopy=False)
    lost, beats = attempts_lost(every), is_heartbeat_enabled(study._storage)

    def counts(trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if trial.state is optuna.trial.TrialState.RUNNING:
            return beats or owner is None or is_here(owner)
        return trial.state.is_finished() and trial.number not in lost

    return [trial for trial in every if counts(trial)]
