"""A store with runs of every kind, made once; the pages over it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from safeguards.card import review_app
from safeguards.tracking import RunReader
from tests.helpers.runs import kept, verdict

SCRIPT = "<script>document.title='pwned'</script>"
IMAGE = "<img src=x onerror=\"document.title='pwned'\">"
QUOTES = "'\"><svg onload=document.title='pwned'>"
BIDI = "safe \u202egpj.exe\u2066 \x1b[31m \u200b"
LONG = "n" * 10_000
CANARIES = {"uri": "postgres://u:canary-1@db/x", "key": "canary-2-canary", "reason": "token=canary-3-canary"}
AWAY = "<title>rows</title><script>location = '/experiments/1?rows=' + document.title</script>"
HOSTILE = (SCRIPT, IMAGE, QUOTES, BIDI, LONG, "{{ 7 * 7 }}", "javascript:document.title='pwned'", "..%2f..%2fetc")


@dataclass(frozen=True)
class Store:
    uri: str
    database: Path
    experiment: str
    runs: dict[str, str]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Store:
    """Four runs that a reviewer meets, and one whose every text is hostile."""
    from mlflow.tracking import MlflowClient

    place = tmp_path_factory.mktemp("reviewed")
    database = place / "mlflow.db"
    shutil.copyfile(empty_database, database)
    uri = f"sqlite:///{database}"
    client: Any = MlflowClient(uri)
    experiment = client.create_experiment("credit", (place / "artifacts").as_uri())
    groups = {"groups": [{"group": "south", "n": 40, "accuracy": 0.7}], "confidence": 0.95}
    good = [verdict(outcome="FAIL"), verdict(epoch=1, interval=(0.02, 0.08), details=groups), verdict("ratio", "WARN")]
    bad = [verdict(outcome="FAIL"), verdict("robust_accuracy", "INCONCLUSIVE", safeguard="adversarial")]
    report = "<!DOCTYPE html><title>report</title><script>parent.postMessage('drawn ' + self.origin, '*')</script>"
    hostile = [
        verdict(text[:60], "FAIL", safeguard=f"s{place}", reason=text, details={text: [text, {text: 1.5}]})
        for place, text in enumerate(HOSTILE)
    ]
    hostile.append(verdict("secret", "FAIL", reason=CANARIES["reason"], details={"password": CANARIES["reason"]}))
    secret = {"db": CANARIES["uri"], "api_key": CANARIES["key"]}
    runs = {
        "good": kept(client, experiment, "good", good, place=place, parameters={"lr": "0.1", "depth": "2"}),
        "bad": kept(client, experiment, "poor", bad, place=place, ended="stopped_for_safety", parameters={"lr": "0.3"}),
        "silent": kept(client, experiment, "silent", [], place=place, files={"report.html": report, "away.html": AWAY}),
        "hostile": kept(
            client,
            experiment,
            LONG[:400] + SCRIPT,
            hostile,
            place=place,
            ended=SCRIPT,
            files={"<b>.html": report, "a'b\"c.txt": SCRIPT},
            parameters={**secret, QUOTES.replace("<", "(").translate({ord(sign): "_" for sign in "'\">=()"}): IMAGE},
        ),
    }
    client.create_experiment(SCRIPT[:60] + IMAGE)
    client.create_run(experiment, run_name="nobody spoke")
    return Store(uri=uri, database=database, experiment=experiment, runs=runs)


@pytest.fixture(scope="session")
def pages(store: Store) -> Any:
    """A browser without a browser: every answer of the application, by `.get`."""
    return review_app(RunReader(store.uri)).test_client()
