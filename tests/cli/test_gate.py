"""The gate at the command line: exit codes 0, 1 and 2, and one line for each error."""

import pytest

from safeguards.cli import main
from safeguards.tracking import ModelRegistry
from tests.core.test_signing import keys
from tests.gate.conftest import at_once
from tests.gate.evidence import candidate
from tests.tracking.conftest import here

__all__ = ["at_once", "here", "keys"]

POLICY = "required: [fairness/demographic_parity_difference]\nclasses: [tests.gate.nets.*]\ntracked: false\n"


@pytest.mark.usefixtures("at_once")
def test_a_key_is_introduced(here, capsys, keys, monkeypatch):
    folder, _ = candidate(here)
    (here / "policy.yaml").write_text(POLICY)
    uri = ["--tracking-uri", f"sqlite:///{here}/mlflow.db"]
    assert main(["promote", str(folder), "--policy", "policy.yaml", *uri]) == 0
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "ours.pub"))
    assert main(["audit", "risk", *uri]) == 1
    assert main(["countersign", "risk", *uri]) == 2
    assert "SAFEGUARDS_SIGNING_KEY is not" in capsys.readouterr().err
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "ours.pem"))
    assert main(["countersign", "risk", "--why", "from now on we sign", *uri]) == 0
    assert capsys.readouterr().out == "risk: entry 2 vouches for the history before it\n"
    assert main(["audit", "risk", *uri]) == 0


@pytest.mark.usefixtures("at_once")
def test_a_candidate_its_history_and_an_audit(here, capsys):
    folder, _ = candidate(here)
    (here / "policy.yaml").write_text(POLICY)
    uri = ["--tracking-uri", f"sqlite:///{here}/mlflow.db"]
    assert main(["promote", str(folder), "--policy", "policy.yaml", "--why", "first", *uri]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "risk: promoted, version 1"
    assert main(["history", "risk", *uri]) == 0
    assert "promoted version 1, champion none -> 1" in capsys.readouterr().out
    assert main(["audit", "risk", "--policy", "policy.yaml", *uri]) == 0
    ModelRegistry("risk", uri[1])._client.delete_registered_model_alias("risk", "champion")
    capsys.readouterr()
    assert main(["audit", "risk", "--quiet", *uri]) == 1
    assert capsys.readouterr().out == "alias: champion is gone, and the history says version 1\n"
    assert main(["rollback", "risk", "--to", "1", *uri]) == 0
    assert main(["audit", "risk", *uri]) == 0
    assert main(["rollback", "risk", "--to", "7", *uri]) == 2
    told = capsys.readouterr().err
    assert told == "safeguards rollback: version 7 was never champion; those that were: 1\n"
    strict = POLICY.replace("[fairness/demographic_parity_difference]", "[a/b]")
    (here / "policy.yaml").write_text(strict)
    (here / "other").mkdir()
    refused, _ = candidate(here / "other", seed=1)
    assert main(["promote", str(refused), "--policy", "policy.yaml", *uri]) == 1
    assert "a/b: no verdict on it, and the policy requires one" in capsys.readouterr().out.splitlines()
    (here / "candidate" / "record.json").write_text("{}")
    assert main(["promote", str(folder), "--policy", "policy.yaml", *uri]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", ["history", "audit", "rollback", "countersign"])
def test_a_model_that_nobody_knows_is_no_model_in_order(here, capsys, command, keys, monkeypatch):
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "ours.pem"))
    assert main([command, "risk", "--tracking-uri", "sqlite:///other.db"]) == 2
    assert f"there is no database {here / 'other.db'}" in capsys.readouterr().err
    assert not list(here.glob("*other*")), "a command that reads made a store"
    assert main([command, "risk", "--tracking-uri", "sqlite:///mlflow.db"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"safeguards {command}: 'risk' has neither a version nor a history in this store")
    assert (told.out, told.err.count("\n")) == ("", 1)


@pytest.mark.usefixtures("at_once")
def test_a_policy_that_lies_there_keeps_no_rollback_from_an_emergency(here, capsys):
    """The champion was promoted under another policy: that of the working folder does not let its class be loaded."""
    folder, _ = candidate(here)
    (here / "policy.yaml").write_text(POLICY)
    (here / "conf").mkdir()
    (here / "conf" / "policy.yaml").write_text(POLICY.replace("tests.gate.nets", "elsewhere"))
    uri = ["--tracking-uri", "sqlite:///mlflow.db"]
    assert main(["promote", str(folder), "--policy", "policy.yaml", *uri]) == 0
    ModelRegistry("risk", uri[1])._client.delete_registered_model_alias("risk", "champion")
    assert main(["rollback", "risk", "--to", "1", *uri]) == 2
    assert "does not predict here any more" in capsys.readouterr().err
    assert main(["rollback", "risk", "--to", "1", "--no-policy", *uri]) == 0
    assert "without --policy it was not loaded" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["rollback", "risk", "--policy", "policy.yaml", "--no-policy", *uri])
