"""The life of a model in which every text is hostile: no secret and no live script tag in anything that comes out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from safeguards._cli import doctor
from safeguards.card import review_app
from safeguards.cli import main
from safeguards.core.errors import StoreAway
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.deepspeed import ops
from safeguards.gate.fresh import check_here
from safeguards.tracking import MLflowTracker, ModelRegistry, RunReader
from tests.gate.evidence import GOOD, REQUIRED, candidate
from tests.gate.nets import CLASSES
from tests.helpers.markup import Parsed
from tests.tracking import jobs
from tests.tracking.conftest import here
from tests.tracking.looking import directory_of, runs, spool_of

__all__ = ["here"]

CANARY = "c4naryV4lue"
SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT} \x1b[31m token={CANARY} http://me:{CANARY}@host/ {CANARY}"
AWAY = f"http://me:{CANARY}@127.0.0.1:9"
LIVE = re.compile(rb"<script>alert", re.IGNORECASE)


@pytest.fixture
def life(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training run that is tracked, and a candidate of it, where secrets stand wherever one can put them."""
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)

    def check(folder: Path, *, digest: str, allowed: Any, seconds: float) -> str | None:
        return check_here(folder, digest=digest, allowed=allowed)

    monkeypatch.setattr("safeguards.gate.promotion.check_in_a_fresh_process", check)
    tracker = MLflowTracker(experiment_name="risk", run_name=HOSTILE, tags={"note": HOSTILE, "api_key": CANARY})
    job = jobs.trainer(tracker, here)
    next(one for one in job.callbacks if isinstance(one, jobs.Count)).name = SCRIPT
    tracker.log_hyperparams({"db_password": CANARY, "note": HOSTILE, SCRIPT: 1})
    job.fit(jobs.Net(db_password=CANARY))
    (here / "work").mkdir()
    bad = Verdict(
        safeguard="fairness",
        measure="gap",
        outcome=Outcome.WARN,
        reason=HOSTILE,
        moment=Moment(stage="validate", epoch=1, step=10),
        value=0.5,
        n=9,
        details={SCRIPT: HOSTILE},
    )
    [run] = runs(here)
    candidate(here / "work", verdicts=(*GOOD, bad), notes={"by": HOSTILE}, tracking_run=run.info.run_id)
    asked = {"required": list(REQUIRED), "classes": list(CLASSES)}
    (here / "policy.yaml").write_text(yaml.safe_dump(asked))
    return here


def test_nothing_that_comes_out_holds_a_secret(life: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    store = ["--tracking-uri", f"sqlite:///{life / 'mlflow.db'}"]
    ledger = str(directory_of(life) / "verdicts.jsonl")
    folder, asked = str(life / "work" / "candidate"), ["--policy", str(life / "policy.yaml")]
    commands: list[tuple[int, list[str]]] = [
        (0, ["verdicts", ledger]),
        (0, ["sync", str(life)]),
        (1, ["promote", folder, *asked, *store, "--why", HOSTILE, "--run", str(directory_of(life))]),
        (0, ["promote", folder, *asked, *store, "--why", HOSTILE]),
        (1, ["history", "none", *store]),
        (0, ["history", "risk", *store]),
        (2, ["rollback", "risk", "--why", HOSTILE, *store]),
        (0, ["rollback", "risk", "--to", "1", "--why", HOSTILE, *store]),
        (0, ["audit", "risk", *asked, *store]),
        (2, ["promote", HOSTILE, *asked, *store]),
        (2, ["promote", folder, *asked, "--tracking-uri", AWAY]),
        (2, ["rollback", SCRIPT, *store]),
        *((2, [name, "risk", "--tracking-uri", AWAY]) for name in ("history", "rollback", "audit")),
        (2, ["verdicts", HOSTILE]),
        (2, ["sync", HOSTILE]),
    ]
    said = ""
    for expected, command in commands:
        code = main(command)
        captured = capfd.readouterr()
        said += captured.out + captured.err
        if command[1] != "none":
            assert (code, command[0]) == (expected, command[0]), captured
    assert CANARY not in said
    assert "\x1b" not in said
    assert "refused" in said or "promoted" in said


def test_nothing_that_is_kept_holds_a_secret_and_no_page_a_live_tag(
    life: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The database, the artifacts, the spool and the ledger of the tracker; then every page over them."""
    registry = ModelRegistry("risk", f"sqlite:///{life / 'mlflow.db'}")
    assert (
        main(["promote", str(life / "work" / "candidate"), "--policy", str(life / "policy.yaml"), "--why", HOSTILE])
        == 0
    )
    assert registry.champion() == 1
    kept = [life / "mlflow.db", *(life / "mlruns").rglob("*"), *spool_of(life).rglob("*")]
    files = [path for path in kept if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    shutil.copyfile(life / "mlflow.db", life / "read.db")
    pages = review_app(RunReader(f"sqlite:///{life / 'read.db'}")).test_client()
    [run] = [one for one in runs(life) if "safeguards.outcome" in one.data.tags]
    experiment = run.info.experiment_id
    for address in ("/", f"/experiments/{experiment}", f"/runs/{run.info.run_id}", f"/runs/{SCRIPT}", f"/{HOSTILE}"):
        answer = pages.get(address).get_data()
        assert CANARY.encode() not in answer
        assert not LIVE.search(answer), address
        assert Parsed(answer.decode()).handlers == []


def test_an_error_quotes_no_address_with_its_password(
    here: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreAway) as caught:
        ModelRegistry("risk", AWAY).champion()
    assert caught.value.__cause__ is None
    tracker = MLflowTracker(tracking_uri=AWAY)
    tracker.log_metrics({"x": 1.0}, step=0)
    tracker.finalize()
    captured = capfd.readouterr()
    assert "127.0.0.1" in caplog.text
    assert CANARY not in repr(caught.value) + caplog.text + captured.out + captured.err


@pytest.mark.parametrize("compiler", ["there", "not there"])
def test_the_doctor_says_no_secret_of_a_machine_in_which_every_name_is_hostile(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    builds = tmp_path / f"\x1b[31m{CANARY}"
    (builds / "cpu_adam").mkdir(parents=True)
    (builds / "cpu_adam" / "lock").touch()
    monkeypatch.setattr(ops, "build_roots", lambda: [builds])
    (builds / "g++").touch(0o755 if compiler == "there" else 0o644)
    monkeypatch.setenv("CXX", str(builds / "g++"))
    (tmp_path / "broken.py").write_text(f"import sys; sys.exit({HOSTILE!r})")
    monkeypatch.setattr(doctor, "HANDSHAKE", tmp_path / "broken.py")
    monkeypatch.setattr(doctor, "required", lambda: [Requirement(f"{CANARY}>=1")])
    assert main(["doctor", "--tracking-uri", f"{AWAY}/{CANARY}"]) == 1
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert said.count("PROBLEM") == (4 if compiler == "there" else 5), said
    assert "rm " in said
    assert "two processes cannot talk over gloo" in said
    assert "127.0.0.1" in said
    assert CANARY not in said
    assert "\x1b" not in said
