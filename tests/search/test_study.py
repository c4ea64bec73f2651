"""A study told by hand: what becomes of endings, what a continued study does, who counts."""

import math
import os
import socket
import subprocess

import optuna
import pytest
import sqlalchemy

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.core.process import this_process
from safeguards.search import Ending, Space
from safeguards.search.attempts import OWNER, Retry, begun
from tests.search.told import SPACE, complete, search

STATES = optuna.trial.TrialState


@pytest.fixture(params=["memory", "journal", "sqlite"])
def storage(request, tmp_path):
    return {
        "memory": None,
        "journal": f"journal:{tmp_path / 'study.log'}",
        "sqlite": f"sqlite:///{tmp_path / 'study.db'}",
    }[request.param]


def states(one):
    return [trial.state for trial in one.study.get_trials(deepcopy=False)]


def test_each_ending_becomes_the_state_and_the_constraints_it_stands_for(storage):
    def fail():
        raise TrialFailed("a process was killed by signal SIGKILL")

    def reported(task):
        assert task.prune(1, 0.25) is False
        assert task.prune(2, math.inf) is False
        return Ending(state="pruned", reason="told to", violations={"toy/gap": 0.5})

    endings = [
        lambda _: complete(0.9, 0.2),
        lambda _: complete(0.8, -0.1, verdicts=({"measure": "gap", "details": "long"},)),
        reported,
        lambda _: fail(),
        lambda _: complete(math.nan),
        lambda _: complete(math.inf),
        lambda _: Ending(state="complete", values={"accuracy": 0.99}),
        lambda _: complete(0.99, math.nan),
    ]
    one = search(storage)
    result = one.run(lambda task: endings[task.number](task), trials=8)
    trials = one.study.get_trials(deepcopy=False)
    done = [STATES.COMPLETE, STATES.COMPLETE, STATES.PRUNED, STATES.FAIL, STATES.FAIL, STATES.FAIL]
    assert states(one) == [*done, STATES.COMPLETE, STATES.COMPLETE]
    assert [trial.constraints for trial in trials if trial.state is not STATES.FAIL] == [
        {"toy/gap": 0.2},
        {"toy/gap": -0.1},
        {"toy/gap": 0.5},
        {"toy/gap": 1000.0},
        {"toy/gap": 1000.0},
    ]
    assert trials[2].intermediate_values == {1: 0.25}
    assert trials[1].user_attrs["verdicts"] == [{"measure": "gap"}]
    assert [one.number for one in result.best] == [one.study.best_trial.number] == [1]
    assert result.reasons == {
        3: "a process was killed by signal SIGKILL",
        4: "no finite value of accuracy was told",
        5: "no finite value of accuracy was told",
    }
    assert (result.pruned, result.ended) == (1, 8)


def test_optuna_keeps_the_first_value_of_a_constraint():
    """Why each is set once, at the end, and why a new attempt must not inherit them."""
    trial = optuna.create_study().ask()
    trial.set_constraint("gap", 1e3)
    with pytest.warns(UserWarning, match="already set"):
        trial.set_constraint("gap", -1.0)
    assert trial.constraints == {"gap": 1e3}


def test_no_feasible_trial_is_an_answer(kept):
    result = search(kept).run(lambda task: complete(0.1 * task.number, 0.3 - 0.1 * task.number), trials=3)
    assert result.best == []
    assert [one.number for one in result.closest] == [2, 1, 0]


def test_several_objectives_are_never_reported_and_may_end_early():
    one = search(objectives={"accuracy": "maximize", "seconds": "minimize"}, sampler="nsga2")

    def train(task):
        assert task.prune(1, 0.5) is False
        if task.number == 1:
            return Ending(state="pruned", reason="toy/gap failed", violations={"toy/gap": 0.4})
        return Ending(
            state="complete", values={"accuracy": 0.5, "seconds": 1.0 + task.number}, violations={"toy/gap": 0.0}
        )

    result = one.run(train, trials=3)
    assert states(one) == [STATES.COMPLETE, STATES.PRUNED, STATES.COMPLETE]
    assert [found.values for found in result.best] == [(0.5, 1.0)]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
@pytest.mark.parametrize("ways", [{"accuracy": "maximize"}, {"accuracy": "maximize", "seconds": "minimize"}])
def test_each_sampler_searches_under_constraints(sampler, ways):
    def train(task):
        rate = task.parameters["rate"]
        return Ending(
            state="complete", values={"accuracy": rate, "seconds": rate**2}, violations={"toy/gap": rate - 0.5}
        )

    result = search(objectives=ways, sampler=sampler).run(train, trials=13)
    assert result.ended == 13
    assert all(one.parameters["rate"] <= 0.5 for one in result.best)
    assert result.best


def feasible(seed, *, told):
    """How many of 30 trials keep a limit that the objective leads away from; a tenth of the space does."""

    def train(task):
        x, y = task.parameters["x"], task.parameters["y"]
        return Ending(state="complete", values={"accuracy": x + y}, violations={"toy/gap": max(x, abs(y - 0.5)) - 0.22})

    square = Space.read({name: {"type": "float", "low": 0.0, "high": 1.0} for name in ("x", "y")})
    one = search(space=square, constraints=["toy/gap"] if told else [], sampler="tpe", seed=seed)
    tried = one.run(train, trials=30).candidates
    return sum(max(each.parameters["x"], abs(each.parameters["y"] - 0.5)) <= 0.22 for each in tried)


def test_a_sampler_that_is_told_the_limits_stays_within_them():
    told, untold = ([feasible(seed, told=way) for seed in range(3)] for way in (True, False))
    assert sum(told) >= 4 * sum(untold) > 0


def test_a_study_goes_on_to_its_number_and_draws_nothing_twice(kept):
    seen = []

    def train(task):
        seen.append(task.parameters["rate"])
        return complete()

    search(kept).run(train, trials=3)
    result = search(kept).run(train, trials=5)
    assert (result.ended, len(seen), len(set(seen))) == (5, 5, 5)
    assert search(kept).run(train, trials=5).ended == len(seen) == 5


def gone():
    """A process that has been: the mark of its search."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return {"host": socket.gethostname(), "pid": ended.pid, "started": "1"}


def leave_running(one, owner, constraint=None):
    trial = one.study.ask()
    SPACE.suggest(trial)
    trial.set_user_attr(OWNER, owner)
    if constraint is not None:
        trial.set_constraint("toy/gap", constraint)
    return trial


def test_what_a_killed_search_was_training_is_trained_again_and_counted_once(kept):
    first = search(kept)
    first.run(lambda _: complete(0.1), trials=1)
    lost = leave_running(first, gone(), constraint=5.0)
    seen = {}

    def train(task):
        seen[task.number] = task.parameters
        return complete(0.9, -0.2)

    again = search(kept)
    result = again.run(train, trials=3)
    assert states(again) == [STATES.COMPLETE, STATES.FAIL, STATES.COMPLETE, STATES.COMPLETE]
    assert seen[2] == lost.params
    assert again.study.trials[2].constraints == {"toy/gap": -0.2}, "not those of the lost attempt"
    assert (result.ended, result.reasons) == (3, {})


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_kills_its_search_each_time_is_given_up(kept):
    one = search(kept, retries=1)
    leave_running(one, gone())
    one = search(kept, retries=1)
    assert one._left(1) == 1
    leave_running(one, gone())
    result = search(kept, retries=1).run(lambda _: complete(), trials=1)
    assert result.ended == 1
    assert result.reasons == {1: "its search was killed"}


def test_a_living_search_keeps_its_trial_and_is_waited_for(kept, monkeypatch):
    one = search(kept)
    trial = leave_running(one, this_process())
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            trial.set_constraint("toy/gap", -1.0)
            one.study.tell(trial, 0.7)

    monkeypatch.setattr("safeguards.search.study.time.sleep", pause)
    result = search(kept).run(lambda _: pytest.fail("nothing is left to begin"), trials=1)
    assert (len(pauses), [found.values for found in result.best]) == (3, [(0.7,)])


ELSEWHERE = {"host": "elsewhere", "pid": 1, "started": "1"}


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_database_knows_by_its_heartbeat_that_a_search_elsewhere_is_gone(tmp_path):
    address = f"sqlite:///{tmp_path / 'study.db'}"
    one = search(address)
    trial = leave_running(one, ELSEWHERE, constraint=5.0)
    one.study._storage.record_heartbeat(trial._trial_id)
    assert [counted.number for counted in begun(one.study)] == [trial.number]
    with sqlalchemy.create_engine(address).begin() as database:
        database.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"))
    seen = []
    result = search(address).run(lambda task: seen.append(task.parameters) or complete(), trials=1)
    assert (seen, result.ended, result.reasons) == ([trial.params], 1, {})
    assert result.candidates[0].violations == {"toy/gap": -0.1}


def test_while_a_trial_is_trained_its_heart_beats(tmp_path):
    address = f"sqlite:///{tmp_path / 'study.db'}"

    def beats(_):
        with sqlalchemy.create_engine(address).begin() as database:
            return complete(database.execute(sqlalchemy.text("SELECT count(*) FROM trial_heartbeats")).scalar_one())

    assert search(address).run(beats, trials=1).best[0].values == (1.0,)


def test_a_file_does_not_wait_for_another_host(kept):
    leave_running(search(kept), ELSEWHERE)
    one = search(kept)
    assert one.run(lambda _: complete(), trials=1).ended == 1
    assert states(one) == [STATES.RUNNING, STATES.COMPLETE], "nor is its trial taken"


def test_of_two_that_begin_the_last_trial_at_once_one_trains_it(kept, monkeypatch):
    """The second had counted before the first began."""
    first, second = search(kept), search(kept)
    second.enqueue({"rate": 0.25, "kind": "a"})
    first.enqueue({"rate": 0.75, "kind": "a"})
    told = iter([1, 0])
    monkeypatch.setattr(second, "_left", lambda trials: next(told))

    def train(task):
        second.run(lambda _: pytest.fail("both train"), trials=1)
        return complete(task.parameters["rate"])

    assert first.run(train, trials=1).ended == second.result().ended == 1
    assert [trial.state.name for trial in first.study.trials] == ["COMPLETE", "FAIL", "WAITING"]
    seen = []
    first.run(lambda task: seen.append(task.parameters) or complete(), trials=2)
    assert seen == [{"rate": 0.75, "kind": "a"}]


def test_an_interrupted_trial_is_queued_again(kept):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(kept).run(interrupt, trials=2)
    one = search(kept)
    before = one.study.trials[0].params
    seen = []
    result = one.run(lambda task: seen.append(task.parameters) or complete(), trials=2)
    assert seen[0] == before
    assert (result.ended, result.reasons) == (2, {})


def test_the_owner_is_this_process():
    owner = this_process()
    assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert owner["started"].isdigit()


def test_time_that_is_up_begins_no_trial(kept):
    assert search(kept).run(lambda _: complete(), trials=3, seconds=0.0).ended == 0


def test_when_all_fail_the_search_says_so_early(kept):
    def fail(_):
        raise TrialFailed("no metric 'acuracy' after validation")

    with pytest.raises(TrialFailed, match="all of the first 2 trials failed, the last: no metric 'acuracy'"):
        search(kept).run(fail, trials=10, give_up_after=2)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objectives": {"accuracy": "max"}}, "expected metrics, each minimize or maximize"),
        ({"objectives": {}}, "expected metrics"),
        ({"objectives": {"a": "maximize", "b": "minimize"}, "pruner": "median"}, "Optuna prunes by one value only"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"storage": "sqlite:////nowhere/at/all.db"}, "cannot open the study's storage"),
        ({"storage": "postgresql://me:hunter2@127.0.0.1:1/db"}, "cannot open the study's storage"),
        ({"storage": "what is this"}, "cannot open the study's storage"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(wrong, said):
    with pytest.raises(ConfigurationError) as error:
        search(**wrong)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_median_pruner_prunes_by_what_was_reported(kept):
    one = search(kept, pruner="median")

    def train(task):
        value = 0.1 if task.number == 6 else 0.9
        stop = any(task.prune(step, value) for step in (1, 2))
        violations = {"toy/gap": 0.0}
        if stop:
            return Ending(state="pruned", reason="below the median", violations=violations)
        return complete(value)

    result = one.run(train, trials=7)
    assert states(one) == [STATES.COMPLETE] * 6 + [STATES.PRUNED]
    assert result.pruned == 1


def test_a_retry_keeps_what_was_asked_and_drops_what_was_found():
    study = optuna.create_study()
    study.enqueue_trial({"rate": 0.5})
    trial = study.ask()
    SPACE.suggest(trial)
    trial.set_constraint("toy/gap", 3.0)
    Retry(1)(study, study.get_trials()[0])
    waiting = study.get_trials()[1]
    assert waiting.state is STATES.WAITING
    assert waiting.params == trial.params
    assert waiting.constraints == {}
    assert waiting.system_attrs["fixed_params"] == {"rate": 0.5}
    Retry(1)(study, waiting)
    assert len(study.get_trials()) == 2
