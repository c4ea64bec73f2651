"""What stands in the registry, and on this machine, at the moment of a ruling."""

import pytest

from safeguards.gate import promote
from tests.gate.test_promotion import ASKED, make

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.mark.parametrize("how", ["changed", "added to", "gone"])
def test_a_ledger_that_is_not_the_one_that_was_sealed(tmp_path, registry, how):
    folder, sealed = make(tmp_path / "a", registry)
    run = tmp_path / "a" / "safeguards" / sealed.run_id
    ledger = run / "verdicts.jsonl"
    content = ledger.read_bytes()
    if how == "gone":
        ledger.unlink()
    else:
        ledger.write_bytes(content.replace(b"0.7", b"0.9", 1) if how == "changed" else content + content)
    (reason,) = promote(folder, policy=ASKED, registry=registry, run=run).reasons
    assert reason.startswith("ledger: ")
    assert str(tmp_path) not in reason
    assert registry.champion() is None
    other, sealed = make(tmp_path / "b", registry, seed=1)
    whole = tmp_path / "b" / "safeguards" / sealed.run_id
    assert promote(other, policy=ASKED, registry=registry, run=whole).admitted
