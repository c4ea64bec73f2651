"""Several searches at one study, told by hand: none of their trials is lost, and none counts twice."""

import os
import signal
import threading

import optuna
import pytest
import sqlalchemy

from safeguards.search import Search, Sensitivity, Space, search_again, storage, train_variants, variants
from safeguards.search.attempts import LEFT, OWNER, Retry
from safeguards.search.earlier import ASKED
from safeguards.search.story import IDENTITY
from tests.helpers.launch import launch
from tests.search.told import SPACE, complete, search

FAIL = optuna.trial.TrialState.FAIL
ELSEWHERE = {"host": "elsewhere", "pid": 1, "started": "1"}
VALUES = {"rate": 0.25, "kind": "a"}


def lose(one):
    """A trial whose search is gone, failed and not queued again yet."""
    trial = one.study.ask()
    SPACE.suggest(trial)
    trial.set_user_attr(OWNER, ELSEWHERE)
    one.study.tell(trial, state=FAIL)
    return one.study.get_trials()[trial.number]


def test_what_another_search_is_queueing_again_is_waited_for(kept, monkeypatch):
    monkeypatch.setattr("safeguards.search.attempts.QUEUEING_SECONDS", 1000)
    one = search(kept)
    lost, pauses, seen = lose(one), [], []

    def pause(seconds):
        pauses.append(seconds)
        Retry(2)(one.study, lost)

    monkeypatch.setattr("safeguards.search.study.time.sleep", pause)
    result = search(kept).run(lambda task: seen.append(task.parameters) or complete(), trials=1)
    assert (len(pauses), seen, result.ended, result.reasons) == (1, [lost.params], 1, {})


def test_same_values_that_two_searches_asked_for_at_once_are_trained_once(kept):
    """Each has looked before the other queued them."""
    one = search(kept)
    for _ in range(2):
        one.study.enqueue_trial(VALUES)
    seen = []
    result = one.run(lambda task: seen.append(task.parameters) or complete(), trials=3)
    assert (seen.count(VALUES), len(seen), result.ended, result.reasons) == (1, 3, 3, {})
    assert [trial.number for trial in one.study.get_trials() if LEFT in trial.user_attrs] == [1]
    assert one.story().trial(1).state == "lost"


def test_a_double_is_trained_when_the_first_was_lost(kept):
    one = search(kept)
    for _ in range(2):
        one.study.enqueue_trial(VALUES)
    Retry(2)(one.study, lose(one))
    seen = []
    assert one.run(lambda task: seen.append(task.parameters) or complete(), trials=2).ended == 2
    assert seen.count(VALUES) == 1


def test_what_was_lost_keeps_its_place_before_a_later_one_that_waits(kept):
    """The place of the last trial is that of the lost one, although another waits before it."""
    one = search(kept)
    lost = lose(one)
    one.enqueue(VALUES)
    later = one.study.ask()
    one.study.tell(later, state=FAIL)
    Retry(9)(one.study, one.study.get_trials()[later.number])
    Retry(9)(one.study, lost)
    seen = []
    assert one.run(lambda task: seen.append(task.parameters) or complete(), trials=1).ended == 1
    assert seen == [lost.params]


def test_a_trial_that_trains_has_its_first_heartbeat(tmp_path, monkeypatch):
    """Also where the thread that beats did not get to it."""
    address = f"sqlite:///{tmp_path / 'study.db'}"
    monkeypatch.setattr("optuna.storages._heartbeat.HeartbeatThread._record_heartbeat", lambda *_: None)

    def beats(_):
        with sqlalchemy.create_engine(address).begin() as database:
            return complete(database.execute(sqlalchemy.text("SELECT count(*) FROM trial_heartbeats")).scalar_one())

    assert search(address).run(beats, trials=1).best[0].values == (1.0,)


def test_tables_that_another_search_is_making_are_waited_for(tmp_path, monkeypatch):
    whole, left, pauses = optuna.storages.RDBStorage.__init__, [3], []

    def opened(*args, **named):
        if left[0]:
            left[0] -= 1
            raise sqlalchemy.exc.IntegrityError("CREATE TYPE", {}, Exception("duplicate key"))
        whole(*args, **named)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", opened)
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    assert search(f"sqlite:///{tmp_path / 'study.db'}").run(lambda _: complete(), trials=1).ended == 1
    assert pauses == [storage.MAKING_PAUSE_SECONDS] * 3


def test_an_identity_that_another_search_is_about_to_note_is_taken_on(kept):
    one = search(kept)
    study = optuna.create_study(storage=one.study._storage, study_name="late", directions=["maximize"])

    def note():
        study.set_user_attr(IDENTITY, "its own")
        study.set_user_attr(ASKED, one.study.user_attrs[ASKED])

    later = threading.Timer(0.5, note)
    later.start()
    found = search(kept, name="late").story().identity
    later.join()
    assert found == "its own"


RATE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})


def again(address):
    """A study of one trial, and the one that trains its variants."""
    first = Search(
        space=RATE, objectives={"accuracy": "maximize"}, constraints=["toy/gap"], storage=address, sampler="random"
    )
    first.enqueue({"rate": 0.5})
    first.run(lambda _: complete(), trials=1)
    made = variants(RATE, {"rate": 0.5}, seeds=[1, 2, 3], seed_key="seed")
    return first, made, search_again(first, 0, made, storage=address)


def killed(address):
    """Its third variant kills it."""
    _, made, other = again(address)

    def train(task):
        if task.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return complete()

    other.run(train_variants(train, made), trials=len(made))


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_sensitivity_study_that_was_killed_goes_on(tmp_path, kind):
    address = {"journal": f"journal:{tmp_path / 'study.log'}", "sqlite": f"sqlite:///{tmp_path / 'study.db'}"}[kind]
    (dead,) = launch(f"{__file__}:killed", world=1, check=False, address=address)
    assert dead.returncode == -signal.SIGKILL, dead.stderr[-2000:]
    first, made, other = again(address)
    seen = []

    def train(task):
        seen.append(dict(task.parameters))
        return complete()

    assert other.run(train_variants(train, made), trials=len(made)).ended == len(made)
    assert sorted(map(str, seen)) == sorted(map(str, list(made.values())[2:])), "each of the rest once"
    found = Sensitivity.of(first.story().trial(0), other.story())
    assert {**found.seeds, **found.nudges}.keys() == made.keys()
    assert found.silent == {}
