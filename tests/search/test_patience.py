"""A database that is away: the study waits, loses nothing and counts nothing twice."""

import optuna
import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from safeguards.search import Ending, Search, Space, patience
from safeguards.search.patience import patient


@pytest.fixture
def pauses(monkeypatch):
    """Time that passes only in the pauses."""
    made = []
    monkeypatch.setattr(patience.time, "sleep", made.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(made))
    return made


def stored(tmp_path):
    return optuna.storages.get_storage(f"sqlite:///{tmp_path / 'study.db'}")


def away(storage, name, error, times, *, after=False):
    """The operation fails this often: before it is done, or after, when only its answer is lost."""
    whole, left = getattr(storage, name), [times]

    def operation(*args, **named):
        if after:
            whole(*args, **named)
        if left[0]:
            left[0] -= 1
            raise error
        return whole(*args, **named)

    setattr(storage, name, operation)


GONE = sqlalchemy.exc.OperationalError("select", {}, Exception("server closed the connection"))


@pytest.mark.parametrize("error", [StorageInternalError("commit"), GONE])
@pytest.mark.parametrize("name", ["create_new_trial", "get_all_trials", "set_trial_param", "set_trial_user_attr"])
def test_an_operation_waits_until_the_database_is_back(tmp_path, pauses, name, error):
    storage = stored(tmp_path)
    away(storage, name, error, times=20)
    study = optuna.create_study(storage=patient(storage))
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("a", 1)
    study.tell(trial, 1.0)
    assert len(pauses) == 20
    assert [(one.state.name, one.value) for one in study.trials] == [("COMPLETE", 1.0)]


def test_a_database_that_stays_away_is_an_error(tmp_path, pauses):
    storage = stored(tmp_path)
    away(storage, "create_new_trial", StorageInternalError("commit"), times=10_000)
    study = optuna.create_study(storage=patient(storage))
    with pytest.raises(StorageInternalError):
        study.ask()
    assert 240 <= sum(pauses) <= 242


def test_a_result_whose_answer_was_lost_is_told_once(tmp_path, pauses):
    storage = stored(tmp_path)
    away(storage, "set_trial_state_values", StorageInternalError("commit"), times=1, after=True)
    study = optuna.create_study(storage=patient(storage))
    study.tell(study.ask(), 0.5)
    assert [one.value for one in study.trials] == [0.5]


def test_to_end_a_trial_twice_stays_an_error(tmp_path, pauses):
    storage = patient(stored(tmp_path))
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    study.tell(trial, 0.5)
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
    assert pauses == []


def test_an_error_of_another_kind_is_not_waited_for(tmp_path, pauses):
    with pytest.raises(KeyError):
        patient(stored(tmp_path)).get_trial(999)
    assert pauses == []


def test_a_search_keeps_its_database_through_an_outage(tmp_path, pauses):
    space = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})
    one = Search(space=space, objectives={"score": "maximize"}, storage=f"sqlite:///{tmp_path / 'study.db'}")
    engine = one.study._storage._backend.engine
    refused = []

    def refuse(*_):
        if len(refused) < 5:
            refused.append(1)
            raise GONE

    def train(task):
        sqlalchemy.event.listen(engine, "do_connect", refuse)
        engine.dispose()
        assert task.prune(1, 0.5) is False
        return Ending(state="complete", values={"score": 0.5})

    result = one.run(train, trials=1)
    assert (len(refused), [found.values for found in result.best]) == (5, [(0.5,)])
    assert one.study.trials[0].intermediate_values == {1: 0.5}
