"""The pages of registered models: the history as the gate wrote it, and the card of each version."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from safeguards.card import review_app
from safeguards.gate import champion, promote, rollback
from safeguards.gate.fresh import check_here
from safeguards.tracking import ModelReader, ModelRegistry, RegisteredModel, RunReader
from tests.card.conftest import SCRIPT
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD, candidate, policy
from tests.helpers.markup import Parsed

__all__ = ["keys"]
ASKED = policy(tracked=False)


@dataclass(frozen=True)
class Reviewed:
    uri: str
    registry: ModelRegistry
    pages: Any

    def told(self, address: str, code: int = 200) -> Parsed:
        answer = self.pages.get(address)
        assert answer.status_code == code, answer.get_data(as_text=True)
        return Parsed(answer.get_data(as_text=True))


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Reviewed]:
    """Versions 1 and 2 promoted, 3 refused for what it lacks, then back to 1; those who did it are hostile."""
    place = tmp_path_factory.mktemp("champions")
    shutil.copyfile(empty_database, place / "mlflow.db")
    uri = f"sqlite:///{place / 'mlflow.db'}"
    registry = ModelRegistry("risk", uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(
            "safeguards.gate.promotion.check_in_a_fresh_process",
            lambda folder, *, digest, allowed, seconds: check_here(folder, digest=digest, allowed=allowed),
        )
        current = None
        for number, verdicts in enumerate((GOOD, GOOD, GOOD[:1]), 1):
            (place / str(number)).mkdir()
            given = {"champion": current, "previous": registry.newest_record(), "tracking_run": None}
            folder, _ = candidate(place / str(number), seed=number, verdicts=verdicts, **given)
            promote(folder, policy=ASKED, registry=registry, why=f"week {number}", who=SCRIPT)
            found = champion(registry, place / f"champion-{number}")
            current = None if found is None else found.record
        rollback(registry, why="it was slow", who="Ann")
        yield Reviewed(uri=uri, registry=registry, pages=review_app(RunReader(uri)).test_client())


def test_the_history_of_champions(reviewed: Reviewed) -> None:
    seen = reviewed.told("/models/risk")
    assert "Version 1 is champion." in seen.text
    assert re.search(r"4 \d{4}-\d\d-\d\d \d\d:\d\d ↶ rolled back 1 2 → to 1 Ann it was slow [0-9a-f]{12}", seen.text)
    assert re.search(r"2 [^✓]+✓ promoted 2 1 → to 2 <script>document.title='pwned'</script> week 2", seen.text)
    assert re.search(r"3 [^✕]+✕ refused 3 2 → to 2 <script>.+?</script> .*adversarial/robust_accuracy", seen.text)
    assert len(seen.of("th", scope="row")) == 4
    assert [one["href"] for one in seen.of("a") if "/models/risk/" in str(one["href"])][:2] == [
        "/models/risk/1",
        "/models/risk/1",
    ]
    assert seen.tags["caption"] == seen.tags["table"] == 1


def test_models_are_listed_with_their_champion(reviewed: Reviewed) -> None:
    seen = reviewed.told("/models")
    assert re.search(r"risk version 1 ↶ rolled back version 1 \d{4}-\d\d-\d\d \d\d:\d\d Ann", seen.text)
    assert [one["href"] for one in seen.of("a") if "/models/" in str(one["href"])] == ["/models/risk"]
    home = reviewed.pages.get("/").headers["Location"]
    assert home == "/experiments/0", "the gate's own experiment is no choice"


def test_a_last_ruling_that_nobody_with_the_key_wrote_is_not_told(
    reviewed: Reviewed, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "ours.pub"))
    seen = reviewed.told("/models")
    assert "risk version 1 the history was changed; open the model to see how" in seen.text
    assert "rolled back" not in seen.text
    assert "Ann" not in seen.text


def test_a_version_opens_its_card(reviewed: Reviewed) -> None:
    answer = reviewed.pages.get("/models/risk/3")
    seen = Parsed(answer.get_data(as_text=True))
    assert "The gate refused it" in seen.text
    assert "Judged for the champion, and not for this model adversarial robust_accuracy" in seen.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox")
    assert "script" not in policy
    assert "default-src 'none'" in policy
    for place in ("/models/risk/9", "/models/nothing", "/models/nothing/1", "/models/risk/x", "/models/..%2f"):
        reviewed.told(place, 404)


def test_hostile_names_are_text(reviewed: Reviewed) -> None:
    for place in ("/models", "/models/risk", "/models/risk/1", "/models/<script>", "/models/risk/7"):
        answer = reviewed.pages.get(place)
        seen = Parsed(answer.get_data(as_text=True))
        assert seen.handlers == []
        assert {one.get("src") for one in seen.of("script")} <= {"/static/review.js"}
        assert seen.unbalanced == []


def test_an_alias_that_was_moved_and_a_history_that_was_changed_are_said(reviewed: Reviewed) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(reviewed.uri)
    client.set_registered_model_alias("risk", "champion", "3")
    try:
        assert "The alias says 3, the history says 1: it was moved outside of the gate" in (
            reviewed.told("/models/risk").text
        )
    finally:
        client.set_registered_model_alias("risk", "champion", "1")
    assert "was moved outside" not in reviewed.told("/models/risk").text


def test_a_reader_reads_what_the_registry_wrote_and_cannot_write(reviewed: Reviewed) -> None:
    found = ModelReader("risk", RunReader(reviewed.uri))
    for ask in ("versions", "history", "champion", "newest_record"):
        assert getattr(found, ask)() == getattr(reviewed.registry, ask)()
    assert issubclass(ModelRegistry, RegisteredModel)
    assert not hasattr(found, "append")
    with pytest.raises(Exception, match="readonly"):
        found._client.set_registered_model_alias("risk", "champion", "2")
