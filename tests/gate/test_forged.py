"""What somebody who may write to MLflow, and has no key, tries with a history: it is found, and nothing goes on."""

import json
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient

from safeguards.core.canonical import canonical
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.gate import History, attach_card, audit, champion, promote, rollback
from safeguards.tracking import ModelRegistry
from safeguards.tracking.registered import HOME
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD
from tests.gate.memory import MemoryRegistry
from tests.gate.test_promotion import ASKED, make

__all__ = ["keys"]
pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def client(tmp_path):
    """Of whoever has access to the database that `in_mlflow` uses."""
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def signing(keys, monkeypatch):
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "ours.pub"))
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "ours.pem"))


def promoted(place, registry, **options):
    folder, sealed = make(place, registry, **options)
    assert promote(folder, policy=ASKED, registry=registry).admitted
    return sealed


def found(registry):
    return [str(one) for one in audit(registry)]


def home_of(client, name):
    return client.get_registered_model(name).tags[HOME]


def test_a_signed_history_cut_off_and_put_into_another_run(tmp_path, in_mlflow, client, signing):
    """Every entry left is signed, and the chain is whole: only the run that held all of them tells."""
    for number in range(2):
        promoted(tmp_path / str(number), in_mlflow, seed=number)
    home, (first, _) = home_of(client, "risk"), in_mlflow.versions()
    forged = client.create_run(client.get_run(home).info.experiment_id).info.run_id
    client.log_param(forged, "history.000001", client.get_run(home).data.params["history.000001"])
    files = f"records/{first.tags['safeguards.record']}"
    client.log_artifacts(forged, client.download_artifacts(home, files, str(tmp_path)), files)
    client.delete_registered_model("risk")
    client.create_registered_model("risk", tags={HOME: forged})
    source = f"{client.get_run(forged).info.artifact_uri}/{files}"
    client.create_model_version("risk", source, run_id=forged, tags=dict(first.tags))
    client.set_registered_model_alias("risk", "champion", "1")
    (finding,) = found(ModelRegistry("risk"))
    assert finding.startswith(f"history: the run {home} holds a history of this model too")
    with pytest.raises(RegistryError, match=home):
        champion(ModelRegistry("risk"), tmp_path / "fetched")


def test_the_history_of_another_model(tmp_path, in_mlflow, client, signing):
    churn = ModelRegistry("churn")
    promoted(tmp_path / "churn", churn, model="churn")
    client.create_registered_model("risk", tags={HOME: home_of(client, "churn")})
    (theirs,) = churn.versions()
    client.create_model_version("risk", theirs.source, tags=dict(theirs.tags))
    client.set_registered_model_alias("risk", "champion", "1")
    assert found(ModelRegistry("risk"))[0] == "history: entry 1 is of the model 'churn', not of 'risk'"
    with pytest.raises(RegistryError, match="entry 1 is of the model 'churn'"):
        champion(ModelRegistry("risk"), tmp_path / "fetched")


def test_a_model_that_names_no_history_has_no_new_first_champion(tmp_path, in_mlflow, client):
    promoted(tmp_path / "a", in_mlflow)
    home = home_of(client, "risk")
    client.delete_registered_model_tag("risk", HOME)
    client.delete_registered_model_alias("risk", "champion")
    folder, _ = make(tmp_path / "b", ModelRegistry("risk"), seed=1)
    with pytest.raises(RegistryError, match=f"the run {home} holds a history .* names no run as its home"):
        promote(folder, policy=ASKED, registry=ModelRegistry("risk"))
    assert any(home in line for line in found(ModelRegistry("risk")))
    client.set_registered_model_tag("risk", HOME, home)
    client.set_registered_model_alias("risk", "champion", "1")
    assert audit(ModelRegistry("risk")) == []


def test_a_history_in_a_run_that_was_deleted(tmp_path, in_mlflow, client):
    promoted(tmp_path / "a", in_mlflow)
    folder, _ = make(tmp_path / "b", in_mlflow, seed=1)
    client.delete_run(home_of(client, "risk"))
    assert any("was deleted: restore that run" in line for line in found(ModelRegistry("risk")))
    with pytest.raises(RegistryError, match="was deleted: restore that run"):
        promote(folder, policy=ASKED, registry=ModelRegistry("risk"))


@pytest.mark.parametrize("keyed", [True, False])
def test_an_entry_of_a_strangers_own(tmp_path, registry, request, keyed):
    """The next parameter is free. Without keys a history is none against somebody who may write to MLflow."""
    if keyed:
        request.getfixturevalue("signing")
    promoted(tmp_path / "a", registry)
    folder, sealed = make(tmp_path / "b", registry, seed=1, verdicts=GOOD[:1])
    assert not promote(folder, policy=ASKED, registry=registry).admitted
    told = {"when": "2026-11-28T00:00:00+00:00", "who": "gate", "why": "weekly", "action": "promoted", "policy": ""}
    entry = History.read(registry).next(before=1, after=2, version=2, record=sealed.digest, **told)
    assert registry.append(3, entry.text(None))
    registry.point(2)
    if keyed:
        assert found(registry)[0].startswith("history: entry 3: it is not signed; ")
        with pytest.raises(RegistryError, match="entry 3: it is not signed"):
            champion(registry, tmp_path / "fetched")
    else:
        assert found(registry) == []


def test_a_pickle_beside_a_record(tmp_path, in_mlflow, client):
    promoted(tmp_path / "a", in_mlflow)
    (tmp_path / "card.html").write_text("<p>a card")
    (version,) = in_mlflow.versions()
    digest = version.tags["safeguards.record"]
    attach_card(in_mlflow, digest, tmp_path / "card.html")
    assert audit(in_mlflow) == []
    (tmp_path / "planted").mkdir()
    for name in ("MLmodel", "model.pkl"):
        (tmp_path / "planted" / name).write_text("planted")
    client.log_artifacts(home_of(client, "risk"), str(tmp_path / "planted"), f"records/{digest}")
    (finding,) = found(ModelRegistry("risk"))
    assert finding.startswith("version 1: 'MLmodel', 'model.pkl' lies beside the record")
    with pytest.raises(EvidenceError, match=r"'MLmodel', 'model\.pkl' lies beside the record"):
        champion(ModelRegistry("risk"), tmp_path / "fetched")


def as_formerly(registry):
    """The entries as they were written before they named their model."""
    previous = "0" * 64
    for number, text in sorted(registry.store.entries.items()):
        entry = replace(History.of([text]).entries[0], model=None, previous=previous)
        registry.store.entries[number] = canonical({"entry": entry.to_dict(), "signature": None}).decode()
        previous = entry.digest


class TestEntriesThatDoNotNameTheirModel:
    def test_are_read_and_gone_on_from(self, tmp_path, registry):
        for number in range(2):
            promoted(tmp_path / str(number), registry, seed=number)
        as_formerly(registry)
        assert audit(registry) == []
        promoted(tmp_path / "next", registry, seed=3)
        assert [one.model for one in History.read(registry).entries] == [None, None, "risk"]
        assert rollback(registry, to=1) == 1
        assert audit(registry) == []

    def test_lend_no_model_to_another(self, tmp_path, registry):
        for number in range(2):
            promoted(tmp_path / str(number), registry, seed=number)
        as_formerly(registry)
        other = MemoryRegistry(registry.store, name="churn")
        assert all("is of the model 'risk', not of 'churn'" in line for line in found(other))
        assert len(found(other)) == 2
        for ask in (lambda: champion(other, tmp_path / "fetched"), lambda: rollback(other, to=1)):
            with pytest.raises(EvidenceError, match="is of the model 'risk', not of 'churn'"):
                ask()


@pytest.mark.parametrize("key", ["who", "why", "model"])
def test_the_newest_entry_edited(tmp_path, registry, key):
    """No later entry holds its digest: it holds its own."""
    for number in range(2):
        promoted(tmp_path / str(number), registry, seed=number)
    held = json.loads(registry.history()[-1])
    registry.store.entries[2] = canonical({**held, "entry": {**held["entry"], key: "another"}}).decode()
    assert found(registry)[0] == "history: entry 2: it was edited: its text does not give its digest"
    without = {name: value for name, value in held.items() if name != "digest"}
    registry.store.entries[2] = canonical(without).decode()
    assert found(registry)[0] == "history: entry 2: it was edited: its text does not give its digest"
