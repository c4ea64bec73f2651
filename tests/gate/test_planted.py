"""A file that somebody plants beside a record: no promotion goes past it, on whichever of the two sides it lies."""

import pytest

from safeguards.core.errors import EvidenceError
from safeguards.gate import audit, promote
from tests.gate.evidence import policy
from tests.gate.test_promotion import ASKED, entries, make
from tests.gate.test_restoring import crowned

pytestmark = pytest.mark.usefixtures("at_once")


def plant(root, digest, name="model.pkl"):
    file = root / "store" / "records" / digest / name
    file.write_text("planted")
    return file


@pytest.mark.parametrize("name", ["MLmodel", "model/model.pt2"])
def test_beside_the_champion_that_a_challenger_is_compared_with(tmp_path, registry, name):
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    before = registry.history(), registry.versions()
    planted = plant(tmp_path, entries(registry)[0].record, name)
    with pytest.raises(EvidenceError, match=f"'{name}' lies beside the record"):
        promote(folder, policy=ASKED, registry=registry)
    assert (registry.history(), registry.versions(), registry.champion()) == (*before, 1)
    planted.unlink()
    assert promote(folder, policy=ASKED, registry=registry).version == 2


def test_beside_a_challenger_that_waited(tmp_path, registry):
    """Its files were stored when it was first asked; the ruling comes later."""
    crowned(tmp_path, registry, 1)
    folder, sealed = make(tmp_path / "next", registry, seed=5, tracking_run="1" * 32)
    registry.store.runs["1" * 32] = "waiting: 3 points"
    assert promote(folder, policy=policy(), registry=registry).version == 2
    registry.store.runs["1" * 32] = "complete"
    planted = plant(tmp_path, sealed.digest)
    with pytest.raises(EvidenceError, match=r"'model\.pkl' lies beside the record"):
        promote(folder, policy=policy(), registry=registry)
    assert (len(registry.history()), registry.champion()) == (1, 1)
    planted.unlink()
    assert promote(folder, policy=policy(), registry=registry).admitted
    assert audit(registry) == []


def test_a_challenger_whose_stored_files_were_changed_while_it_waited(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    folder, sealed = make(tmp_path / "next", registry, seed=5, tracking_run="1" * 32)
    registry.store.runs["1" * 32] = "waiting: 3 points"
    promote(folder, policy=policy(), registry=registry)
    registry.store.runs["1" * 32] = "complete"
    weights = tmp_path / "store" / "records" / sealed.digest / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(EvidenceError, match=r"weights\.safetensors was changed"):
        promote(folder, policy=policy(), registry=registry)
    assert registry.champion() == 1


def test_beside_an_earlier_champion_no_promotion_is_stopped_and_the_audit_tells(tmp_path, registry):
    crowned(tmp_path, registry, 2)
    folder, _ = make(tmp_path / "next", registry, seed=5)
    plant(tmp_path, entries(registry)[0].record)
    assert promote(folder, policy=ASKED, registry=registry).version == 3
    assert "'model.pkl' lies beside the record" in str(audit(registry)[0])
