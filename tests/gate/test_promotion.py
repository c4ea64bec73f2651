"""Promotion in a registry of its own: first champion, challengers, history, rollback, and who comes second."""

import json
from dataclasses import replace

import numpy as np
import pytest

from safeguards import Outcome
from safeguards.core.errors import EvidenceError, RegistryError
from safeguards.gate import History, Signer, audit, champion, compare_rates, promote, rollback
from safeguards.tracking.entities import Point
from safeguards.tracking.spool import LINES, Progress, Spool
from safeguards.tracking.standing import MARKER
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD, REQUIRED, candidate, policy, verdict

__all__ = ["keys"]

ASKED = policy(tracked=False)


def make(place, registry, *, seed=0, **options):
    """A candidate that was compared with the champion of now and is chained to the newest record."""
    place.mkdir(exist_ok=True)
    current = champion(registry, place / "champion") if registry.history() else None
    options.setdefault("champion", None if current is None else current.record)
    options.setdefault("previous", registry.newest_record())
    return candidate(place, seed=seed, **options)


def states(registry):
    return {one.number: one.tags["safeguards.state"] for one in registry.versions()}


def entries(registry):
    return History.of(registry.history()).entries


@pytest.mark.usefixtures("at_once")
class TestInProcess:
    def test_the_first_champion(self, tmp_path, registry):
        folder, sealed = make(tmp_path / "a", registry)
        ruling = promote(folder, policy=ASKED, registry=registry, why="first", who="R. Meyer")
        assert (ruling.admitted, ruling.reasons, ruling.version) == (True, (), 1)
        assert registry.champion() == 1
        (version,) = registry.versions()
        assert version.tags["safeguards.record"] == sealed.digest
        assert version.tags["safeguards.key"] == sealed.key
        assert version.tags["safeguards.state"] == "promoted"
        (entry,) = entries(registry)
        assert (entry.action, entry.who, entry.why, entry.before, entry.after) == (
            "promoted",
            "R. Meyer",
            "first",
            None,
            1,
        )
        found = champion(registry, tmp_path / "fetched")
        assert found.record == sealed
        assert found.stored.digest == sealed.stored

    def test_a_challenger_replaces_it_and_rollback_brings_it_back(self, tmp_path, registry):
        for number in range(3):
            folder, _ = make(tmp_path / str(number), registry, seed=number)
            assert promote(folder, policy=ASKED, registry=registry).version == number + 1
        assert registry.champion() == 3
        assert rollback(registry, why="complaints") == 2
        assert rollback(registry, to=1) == 1
        assert rollback(registry, to=1) == 1
        assert (registry.champion(), states(registry)) == (1, {1: "promoted", 2: "promoted", 3: "promoted"})
        moves = [(one.action, one.before, one.after) for one in entries(registry)]
        assert moves == [
            ("promoted", None, 1), ("promoted", 1, 2), ("promoted", 2, 3), ("rolled back", 3, 2), ("rolled back", 2, 1),
        ]  # fmt: skip
        folder, sealed = make(tmp_path / "next", registry, seed=9)
        assert promote(folder, policy=ASKED, registry=registry).admitted
        assert (registry.champion(), sealed.champion) == (4, entries(registry)[0].record)

    def test_a_rollback_goes_to_champions_only(self, tmp_path, registry):
        with pytest.raises(RegistryError, match="no earlier champion"):
            rollback(registry)
        folder, _ = make(tmp_path / "a", registry)
        promote(folder, policy=ASKED, registry=registry)
        bad, _ = make(tmp_path / "b", registry, seed=1, verdicts=GOOD[:1])
        assert promote(bad, policy=ASKED, registry=registry).version == 2
        with pytest.raises(RegistryError, match="version 2 was never champion; those that were: 1"):
            rollback(registry, to=2)
        with pytest.raises(RegistryError, match="no earlier champion"):
            rollback(registry)

    def test_a_refusal_is_kept_with_every_reason(self, tmp_path, registry):
        bad = [verdict(REQUIRED[0], 0.5), verdict(REQUIRED[1], outcome=Outcome.ERROR)]
        folder, _ = make(tmp_path / "a", registry, verdicts=bad)
        ruling = promote(folder, policy=ASKED, registry=registry)
        assert (ruling.admitted, len(ruling.reasons), registry.champion()) == (False, 2, None)
        assert states(registry) == {1: "refused"}
        assert all(name in entries(registry)[0].why for name in REQUIRED)
        assert all(name in registry.versions()[0].tags["safeguards.ruling"] for name in REQUIRED)

    def test_the_same_candidate_again_changes_nothing(self, tmp_path, registry):
        good, _ = make(tmp_path / "a", registry)
        promote(good, policy=ASKED, registry=registry)
        bad, _ = make(tmp_path / "b", registry, seed=1, verdicts=GOOD[:1])
        first = promote(bad, policy=ASKED, registry=registry)
        before = registry.history(), states(registry)
        assert promote(good, policy=ASKED, registry=registry).admitted
        assert promote(bad, policy=ASKED, registry=registry) == first
        assert (first.admitted, first.version) == (False, 2)
        assert (registry.history(), states(registry)) == before

    def test_a_candidate_that_was_replaced_since_does_not_come_back_by_itself(self, tmp_path, registry):
        first, _ = make(tmp_path / "a", registry)
        promote(first, policy=ASKED, registry=registry)
        second, _ = make(tmp_path / "b", registry, seed=1)
        promote(second, policy=ASKED, registry=registry)
        again = promote(first, policy=ASKED, registry=registry)
        assert "safeguards rollback --to 1" in again.reasons[0]
        assert registry.champion() == 2

    def test_another_policy_rules_again(self, tmp_path, registry):
        folder, _ = make(tmp_path / "a", registry, verdicts=GOOD[:1])
        assert not promote(folder, policy=ASKED, registry=registry).admitted
        waived = {"measure": REQUIRED[1], "reason": "no attack yet", "name": "R. Meyer", "expires": "2999-01-01"}
        ruling = promote(folder, policy=policy(tracked=False, waivers=[waived]), registry=registry)
        assert ruling.admitted
        assert "waived by R. Meyer" in ruling.waived[0]
        assert [one.action for one in entries(registry)] == ["refused", "promoted"]
        assert entries(registry)[1].expiring == ((REQUIRED[1], "2999-01-01T00:00:00+00:00"),)
        assert states(registry) == {1: "promoted"}

    def test_who_compared_with_an_earlier_champion_comes_too_late(self, tmp_path, registry):
        """Two retrainings at once, FAULTS R1: .81 would replace .95, both compared with .80."""
        first, _ = make(tmp_path / "a", registry)
        promote(first, policy=ASKED, registry=registry)
        one, _ = make(tmp_path / "b", registry, seed=1)
        other, _ = make(tmp_path / "c", registry, seed=2)
        assert promote(one, policy=ASKED, registry=registry).admitted
        (reason,) = promote(other, policy=ASKED, registry=registry).reasons
        assert reason.startswith("champion: it was compared with the champion ")
        assert registry.champion() == 2

    def test_who_is_overtaken_between_ruling_and_entry_is_ruled_on_again(self, tmp_path, registry):
        first, _ = make(tmp_path / "a", registry)
        promote(first, policy=ASKED, registry=registry)
        one, _ = make(tmp_path / "b", registry, seed=1)
        other, _ = make(tmp_path / "c", registry, seed=2)
        registry.overtaken_by(lambda host: promote(other, policy=ASKED, registry=host).admitted)
        (reason,) = promote(one, policy=ASKED, registry=registry).reasons
        assert reason.startswith("champion: it was compared with")
        assert registry.champion() == 3
        assert [(one.action, one.version) for one in entries(registry)] == [
            ("promoted", 1),
            ("promoted", 3),
            ("refused", 2),
        ]

    def test_the_champions_data_and_configuration_again_gain_nothing(self, tmp_path, registry):
        first, _ = make(tmp_path / "a", registry, config={"same": True})
        promote(first, policy=ASKED, registry=registry)
        again, _ = make(tmp_path / "b", registry, seed=1, config={"same": True})
        assert "there is nothing to gain" in promote(again, policy=ASKED, registry=registry).reasons[0]

    def test_the_chain_of_records_is_asked_for(self, tmp_path, registry):
        stranger, _ = make(tmp_path / "a", registry, previous="f" * 64)
        (reason,) = promote(stranger, policy=ASKED, registry=registry).reasons
        assert "chained to ffffffffffff, a record that this registry does not know" in reason
        headless, _ = make(tmp_path / "b", registry, seed=1, previous=None)
        (reason,) = promote(headless, policy=ASKED, registry=registry).reasons
        assert "sealed as the first of its model, and it is not" in reason

    def test_a_run_that_is_not_stored_waits_and_is_ruled_on_once_it_is(self, tmp_path, registry):
        folder, _ = make(tmp_path / "a", registry, tracking_run="1" * 32)
        registry.store.runs["1" * 32] = "waiting: 3 points"
        ruling = promote(folder, policy=policy(), registry=registry)
        assert ruling.reasons == (
            "tracking: MLflow does not have all of the run yet (waiting: 3 points); run safeguards sync",
        )
        assert (states(registry), registry.history()) == ({1: "evaluated"}, [])
        registry.store.runs["1" * 32] = "complete"
        assert promote(folder, policy=policy(), registry=registry).version == 1
        assert registry.champion() == 1

    def test_a_run_whose_spool_has_more_than_the_store_was_told_waits(self, tmp_path, registry):
        """The store was told that it has all; then it went away, and the job went on with a test."""
        folder, sealed = make(tmp_path / "a", registry, tracking_run="1" * 32)
        registry.store.runs["1" * 32] = "complete"
        run = tmp_path / "a" / "safeguards" / sealed.run_id
        spool = Spool(tmp_path / "spool", {"id": "job"})
        spool.put([Point("loss", 0.5, 2000, 0)])
        (run / MARKER).write_text(json.dumps({"spool": str(spool.folder)}))
        ruling = promote(folder, policy=policy(), registry=registry, run=run)
        assert len(ruling.reasons) == 1
        assert f"some of it waits to be sent: safeguards sync {spool.folder}" in ruling.reasons[0]
        assert (states(registry), registry.history()) == ({1: "evaluated"}, [])
        elsewhere = promote(folder, policy=policy(), registry=registry, run=tmp_path)
        assert "is the directory of another run" in elsewhere.reasons[0]
        end = (spool.folder / LINES).stat().st_size
        Progress(values=end, artifacts=end, complete=True).keep(spool.folder)
        assert promote(folder, policy=policy(), registry=registry, run=str(run)).admitted
        assert registry.champion() == 1

    def test_lucky_challengers_are_counted(self, tmp_path, registry):
        """Two are planned for: the third is refused whatever it shows; the same one again does not count.

        Nor does the first champion, which met nobody.
        """
        asked = policy(tracked=False, paired={"accuracy": {"better": "higher", "margin": 1}}, planned_attempts=2)
        same = np.arange(100) % 5 > 0
        for number in range(4):
            compared = [compare_rates("accuracy", same, same, data="holdout")]
            folder, _ = make(tmp_path / str(number), registry, seed=number, comparisons=compared)
            promote(folder, policy=asked, registry=registry)
            ruling = promote(folder, policy=asked, registry=registry)
        assert "2 challengers were compared within 365 days" in entries(registry)[-1].why
        assert (registry.champion(), ruling.admitted) == (3, False)

    def test_a_signed_gate(self, tmp_path, registry, keys, monkeypatch):
        monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "ours.pub"))
        unsigned, _ = candidate(tmp_path)
        assert "no signature" in promote(unsigned, policy=ASKED, registry=registry).reasons[0]
        (tmp_path / "wrong").mkdir()
        theirs, _ = candidate(tmp_path / "wrong", signer=Signer(keys / "theirs.pem"))
        assert "not among those trusted" in promote(theirs, policy=ASKED, registry=registry).reasons[0]
        assert registry.versions() == []
        monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "ours.pem"))
        (tmp_path / "right").mkdir()
        ours, _ = candidate(tmp_path / "right")
        assert promote(ours, policy=ASKED, registry=registry).admitted
        assert champion(registry, tmp_path / "fetched").record.digest == entries(registry)[0].record
        monkeypatch.delenv("SAFEGUARDS_VERIFYING_KEYS")
        asked = policy(tracked=False, signed=True)
        assert "set SAFEGUARDS_VERIFYING_KEYS" in promote(ours, policy=asked, registry=registry).reasons[0]

    def test_an_alias_that_was_moved_outside_stops_everything(self, tmp_path, registry):
        for number in range(2):
            folder, _ = make(tmp_path / str(number), registry, seed=number)
            promote(folder, policy=ASKED, registry=registry)
        folder, _ = make(tmp_path / "next", registry, seed=5)
        registry.point(1)
        for ask in (
            lambda: promote(folder, policy=ASKED, registry=registry),
            lambda: champion(registry, tmp_path / "x"),
        ):
            with pytest.raises(RegistryError, match=r"is at version 1, and the history says 2: .* rollback --to 2"):
                ask()
        assert rollback(registry, to=2) == 2
        assert registry.champion() == 2
        assert promote(folder, policy=ASKED, registry=registry).version == 3

    def test_a_record_of_another_model_is_refused(self, tmp_path, registry):
        folder, _ = make(tmp_path / "a", registry, model="churn")
        (reason,) = promote(folder, policy=ASKED, registry=registry).reasons
        assert reason == "model: the record is of 'churn', and this is the registry of 'risk'"
        assert registry.versions() == []

    def test_only_its_own_files_are_stored(self, tmp_path, registry):
        folder, _ = make(tmp_path / "a", registry)
        for name in ("secret.txt", "model/evil.pkl", "model/model.pt2"):
            (folder / name).write_text("canary")
        promote(folder, policy=ASKED, registry=registry)
        stored = {path.name for path in tmp_path.rglob("store/records/**/*") if path.is_file()}
        assert stored == {"record.json", "model.json", "weights.safetensors", "example.safetensors"}

    def test_tampered_evidence_is_refused_and_nothing_is_registered(self, tmp_path, registry):
        """A byte of each file; every byte of each is looked at where the files are read."""
        folder, _ = make(tmp_path / "a", registry)
        for name in ("record.json", "model/model.json", "model/weights.safetensors", "model/example.safetensors"):
            content = (folder / name).read_bytes()
            for at in (0, len(content) // 2, len(content) - 2):
                (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
                ruling = promote(folder, policy=ASKED, registry=registry)
                assert not ruling.admitted
                assert ruling.reasons[0].startswith("evidence: ")
            (folder / name).write_bytes(content)
        assert registry.versions() == []
        assert promote(folder, policy=ASKED, registry=registry).admitted

    def test_a_record_that_tells_of_other_weights_is_refused(self, tmp_path, registry):
        """Well sealed, and each file is as its description says: only record and weights do not belong together."""
        folder, sealed = make(tmp_path / "a", registry)
        replace(sealed, weights="b" * 64).write(folder / "record.json")
        (reason,) = promote(folder, policy=ASKED, registry=registry).reasons
        assert reason == "evidence: the weights are not those of the record"
        assert registry.versions() == []

    def test_an_edited_history_stops_everything(self, tmp_path, registry):
        for number in range(2):
            folder, _ = make(tmp_path / str(number), registry, seed=number)
            promote(folder, policy=ASKED, registry=registry)
        folder, _ = make(tmp_path / "next", registry, seed=5)
        registry.store.entries[1] = registry.store.entries[1].replace("promoted", "refused", 1)
        for ask in (lambda: promote(folder, policy=ASKED, registry=registry), lambda: rollback(registry, to=1)):
            with pytest.raises(RegistryError, match="the history of 'risk' was changed: entry 1: it was edited"):
                ask()
        assert registry.champion() == 2

    def test_a_model_that_does_not_predict_what_is_stored_is_refused(self, tmp_path, registry, monkeypatch):
        folder, _ = make(tmp_path / "a", registry)
        monkeypatch.setattr("tests.gate.nets.Net.forward", lambda self, x: self.network(x) * 2)
        (reason,) = promote(folder, policy=ASKED, registry=registry).reasons
        assert reason.startswith("prediction: outputs: numbers differ by up to")
        (reason,) = promote(folder, policy=policy(classes=[], tracked=False), registry=registry).reasons
        assert "not among those that may be loaded: none" in reason
        assert registry.versions() == []

    def test_a_champion_whose_files_were_changed_is_no_champion(self, tmp_path, registry):
        for number in range(2):
            folder, _ = make(tmp_path / str(number), registry, seed=number)
            promote(folder, policy=ASKED, registry=registry)
        for weights in tmp_path.rglob(f"store/**/{entries(registry)[0].record}/model/weights.safetensors"):
            weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        with pytest.raises(EvidenceError, match=r"(^|the registry's model/)weights\.safetensors was changed"):
            rollback(registry, to=1)
        assert registry.champion() == 2


def test_in_mlflow_and_with_a_fresh_process(tmp_path, in_mlflow):
    """The whole for real: two champions, one rolled back, and a run that is not stored yet."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run("0").info.run_id
    client.set_tag(run, "safeguards.tracking", "waiting: 3 points")
    folder, sealed = make(tmp_path / "a", in_mlflow, tracking_run=run)
    assert "waiting: 3 points" in promote(folder, policy=policy(), registry=in_mlflow).reasons[0]
    client.set_tag(run, "safeguards.tracking", "complete")
    assert promote(folder, policy=policy(), registry=in_mlflow).admitted
    assert client.get_model_version_by_alias("risk", "champion").tags["safeguards.record"] == sealed.digest


@pytest.mark.usefixtures("at_once")
def test_in_mlflow_a_challenger_and_back(tmp_path, in_mlflow):
    for number in range(2):
        folder, _ = make(tmp_path / str(number), in_mlflow, seed=number)
        assert promote(folder, policy=ASKED, registry=in_mlflow).admitted
    assert rollback(in_mlflow) == 1
    assert champion(in_mlflow, tmp_path / "fetched").record.digest == entries(in_mlflow)[0].record
    assert audit(in_mlflow) == []
    files = {path.name for path in tmp_path.rglob("mlruns/**/records/**/*") if path.is_file()}
    assert files == {"record.json", "model.json", "weights.safetensors", "example.safetensors"}
