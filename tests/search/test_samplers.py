"""Samplers and pruners by name; a sampler that goes on does not start over."""

import optuna
import pytest

from safeguards.core.errors import ConfigurationError
from safeguards.search.samplers import PRUNERS, SAMPLERS, named_pruner, named_sampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def first(sampler):
    study = optuna.create_study(sampler=sampler)
    return [study.ask().suggest_float("x", 0, 1) for _ in range(3)]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_each_name_gives_a_sampler_that_draws(name):
    assert all(0 <= x <= 1 for x in first(named_sampler(name, 0, drawn=0)))


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_each_name_gives_a_pruner(name):
    assert isinstance(named_pruner(name), optuna.pruners.BasePruner)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_a_seed_repeats_itself_but_not_in_a_study_that_goes_on(name):
    assert first(named_sampler(name, 7, drawn=0)) == first(named_sampler(name, 7, drawn=0))
    assert not set(first(named_sampler(name, 7, drawn=0))) & set(first(named_sampler(name, 7, drawn=3)))
    assert first(named_sampler(name, 7, drawn=3)) == first(named_sampler(name, 7, drawn=3))


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match="sampler='tpee': expected tpe, gp, nsga2, random; did you mean 'tpe'"):
        named_sampler("tpee", 0, drawn=0)
    with pytest.raises(ConfigurationError, match="pruner='med': expected none, median"):
        named_pruner("med")
