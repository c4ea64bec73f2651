"""The run that keeps a model's history: another in its place, none, or one that was deleted is said."""

import pytest
from mlflow.tracking import MlflowClient

from safeguards.core.errors import RegistryError
from safeguards.tracking import ModelRegistry
from safeguards.tracking.registered import HOME

ENTRY = '{"digest":"","entry":{"model":"a_b"}}'


@pytest.fixture
def kept(here):
    """A registry with one entry, the client of its database, and the run that keeps the entry."""
    registry = ModelRegistry("a_b")
    assert registry.append(1, ENTRY)
    assert registry.home_problems() == []
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    return registry, client, client.get_registered_model("a_b").tags[HOME]


@pytest.mark.parametrize("how", ["tag", "model", "tag of the run too"])
def test_a_history_that_the_model_does_not_name_any_more_is_said(kept, how):
    _, client, home = kept
    if how == "model":
        client.delete_registered_model("a_b")
    else:
        client.delete_registered_model_tag("a_b", HOME)
    if how == "tag of the run too":
        client.delete_tag(home, "safeguards.model")
    (problem,) = ModelRegistry("a_b").home_problems()
    assert problem.startswith(f"the run {home} holds a history of this model too, and the model names no run as its")
    client.delete_run(home)
    assert ModelRegistry("a_b").home_problems() == [problem]


def test_a_history_before_entries_named_their_model_is_known_by_the_tag_of_its_run(here):
    assert ModelRegistry("a_b").append(1, "an old one")
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    client.delete_registered_model("a_b")
    assert "holds a history of this model too" in ModelRegistry("a_b").home_problems()[0]


def test_histories_of_other_models_are_none_of_this_one(kept):
    for name in ("aXb", "a", "a_b c"):
        other = ModelRegistry(name)
        assert other.append(1, ENTRY.replace("a_b", name))
        assert other.home_problems() == []
    assert ModelRegistry("a_b").home_problems() == []


def test_a_run_that_was_deleted_keeps_no_more_entries(kept):
    registry, client, home = kept
    client.delete_run(home)
    assert registry.home_problems() == [f"the run {home}, which keeps it, was deleted: restore that run"]
    with pytest.raises(RegistryError, match=f"the run {home}, which keeps the history, was deleted: restore that run"):
        registry.append(2, "second")
    client.restore_run(home)
    assert registry.append(2, "second")
    assert registry.home_problems() == []
