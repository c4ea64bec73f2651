"""The attempts of a study: whose each is, which count, and what becomes of those that nobody trains any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import TrialFailed
from safeguards.core.process import is_gone, is_here, this_process

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages._heartbeat import BaseHeartbeat
    from optuna.trial import FrozenTrial

__all__ = [
    "GRACE_SECONDS",
    "KILLED",
    "OWNER",
    "REASON",
    "Retry",
    "begun",
    "claim",
    "running",
    "take_up_orphans",
    "uncounted",
]

OWNER, LEFT, REASON = "owner", "left", "reason"
KILLED = "its search was killed"
ASKED_FOR, LOST = "fixed_params", "retry_history"  # Optuna's names
GRACE_SECONDS, QUEUEING_SECONDS = 120, 10


class Retry:
    """Queues the parameters of a trial whose search is gone again, at most ``times`` times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        if not self.gives_up(study, trial):
            _queue_again(study, trial)

    def gives_up(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether it has been begun more often than that."""
        left = {one.number for one in study.get_trials(deepcopy=False) if LEFT in one.user_attrs}
        return len(set(_history(trial)) - left) > self.times


def _queue_again(study: Study, trial: FrozenTrial) -> None:
    """Optuna's own callback copies the constraints too, and a constraint that is set once is never set again: the new
    attempt would be judged by the verdicts of the old one.
    """
    import optuna

    asked = {name: value for name, value in trial.system_attrs.items() if name == ASKED_FOR}
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={**asked, "failed_trial": _place(trial), LOST: _history(trial)},
        )
    )


def _history(trial: FrozenTrial) -> list[int]:
    """The numbers of its attempts, the first one first."""
    return [*trial.system_attrs.get(LOST, []), trial.number]


def _place(trial: FrozenTrial) -> int:
    return _history(trial)[0]


def uncounted(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the attempts that were queued again, and of the trials that were left before they trained."""
    again = {number for trial in trials for number in trial.system_attrs.get(LOST, [])}
    return again | {trial.number for trial in trials if LEFT in trial.user_attrs}


def claim(study: Study, trial: Trial, *, most: int) -> None:
    """Take a trial for this process. Raises `TrialFailed` where it must be left, which does not count.

    Where several searches begin the last of ``most`` trials at once, the first of these is trained, and values that
    were asked for wait for more. Where several asked for the same values at once, the first is trained: Optuna looks
    whether they are waiting already and queues them if not, so each did.
    """
    _beat(study, trial)
    trial.set_user_attr(OWNER, this_process())
    every = study.get_trials(deepcopy=False)
    own = every[trial.number]
    if _is_double(own, every):
        trial.set_user_attr(LEFT, True)
        raise TrialFailed("an earlier trial has the same values")
    if _ahead(own, every, begun(study)) >= most:
        trial.set_user_attr(LEFT, True)
        if {ASKED_FOR, LOST} & set(own.system_attrs):
            _queue_again(study, own)
        raise TrialFailed("another search had begun the last trial")


def _beat(study: Study, trial: Trial) -> None:
    """The first heartbeat. Optuna's comes from a thread, maybe after this process was killed, and then never."""
    if (storage := _with_heartbeat(study)) is not None:
        storage.record_heartbeat(trial._trial_id)


def _with_heartbeat(study: Study) -> BaseHeartbeat | None:
    from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled

    storage = study._storage
    return storage if isinstance(storage, BaseHeartbeat) and is_heartbeat_enabled(storage) else None


def _is_double(own: FrozenTrial, every: Sequence[FrozenTrial]) -> bool:
    asked, skipped = own.system_attrs.get(ASKED_FOR), uncounted(every)
    earlier = [one for one in every if one.number < own.number and one.number not in skipped]
    return asked is not None and any(one.system_attrs.get(ASKED_FOR) == asked for one in earlier)


def _ahead(own: FrozenTrial, every: Sequence[FrozenTrial], counted: Sequence[FrozenTrial]) -> int:
    """How many were begun before it and count, or will: those that wait to be trained again keep their place."""
    waiting = [one for one in every if LOST in one.system_attrs and not one.state.is_finished()]
    return len({_place(one) for one in [*counted, *waiting] if _place(one) < _place(own)})


def take_up_orphans(study: Study, retry: Retry) -> int:
    """Fail the running trials whose search is gone, and queue them again; how many there were.

    On this host a search is known by its process, on any by its heartbeat, which a file does not have.
    """
    import optuna

    taken, beating = 0, _with_heartbeat(study)
    stale = [] if beating is None else beating._get_stale_trial_ids(study._study_id)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if trial._trial_id not in stale and not _is_orphan(trial):
            continue
        try:
            if retry.gives_up(study, trial):
                study._storage.set_trial_user_attr(trial._trial_id, REASON, KILLED)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
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

    every = study.get_trials(deepcopy=False)
    skipped, beats = uncounted(every), _with_heartbeat(study) is not None

    def counts(trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if trial.number in skipped:
            return False
        if trial.state is optuna.trial.TrialState.RUNNING:
            return beats or owner is None or is_here(owner)
        return trial.state.is_finished()

    return [trial for trial in every if counts(trial)]


def running(trial: FrozenTrial) -> bool:
    """Whether it is trained now, or failed a moment ago without a reason: then another search is queueing it again."""
    import optuna

    if trial.state is not optuna.trial.TrialState.FAIL or REASON in trial.user_attrs:
        return not trial.state.is_finished()
    since = trial.datetime_complete
    return since is not None and abs((datetime.now() - since).total_seconds()) < QUEUEING_SECONDS
