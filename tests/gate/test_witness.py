"""Entries that somebody with access to the database cuts off are missed by a host that saw them."""

import errno

import pytest

from safeguards.core.errors import ConfigurationError, RegistryError
from safeguards.gate import History, audit, champion, countersign, promote, rollback
from safeguards.tracking import ModelRegistry
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD
from tests.gate.memory import MemoryRegistry
from tests.gate.test_auditing import found
from tests.gate.test_countersigning import have
from tests.gate.test_promotion import ASKED, make
from tests.gate.test_restoring import crowned

__all__ = ["have", "keys"]
pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def watched(registry, tmp_path):
    """A registry whose host remembers what it saw."""
    registry.witness = tmp_path / "seen"
    return registry


def cut(registry, *, alias):
    """What takes the database: the newest entry gone, the alias and the tags to match."""
    store = registry.store
    del store.entries[max(store.entries)]
    store.alias = alias


def test_entries_that_were_cut_off_stop_the_gate_and_are_told(tmp_path, watched):
    crowned(tmp_path, watched, 2)
    folder, _ = make(tmp_path / "next", watched, seed=5)
    held = dict(watched.store.entries)
    cut(watched, alias=1)
    says = "it has 1 entries, and this host saw 2: the newest were cut off"
    assert found(watched)[0].startswith(f"history: {says}")
    for ask in (
        lambda: promote(folder, policy=ASKED, registry=watched),
        lambda: champion(watched, tmp_path / "x"),
        lambda: rollback(watched, to=1),
    ):
        with pytest.raises(RegistryError, match=says):
            ask()
    assert len(watched.history()) == 1
    watched.store.entries, watched.store.alias = held, 2
    assert promote(folder, policy=ASKED, registry=watched).version == 3


def test_another_entry_in_the_place_of_one_that_was_seen(tmp_path, watched):
    crowned(tmp_path, watched, 2)
    told = {"when": "2026-11-28T00:00:00+00:00", "who": "gate", "why": "weekly", "action": "rolled back", "policy": ""}
    cut(watched, alias=1)
    entry = History.of(watched.history(), model="risk").next(before=1, after=1, version=1, record="a" * 64, **told)
    watched.append(2, entry.text(None))
    assert found(watched)[0].startswith("history: entry 2 is not the one that this host saw")


def test_a_refusal_that_was_cut_off_right_after_it_was_written(tmp_path, watched):
    crowned(tmp_path, watched, 1)
    bad, _ = make(tmp_path / "bad", watched, seed=3, verdicts=GOOD[:1])
    assert not promote(bad, policy=ASKED, registry=watched).admitted
    cut(watched, alias=1)
    assert "this host saw 2" in found(watched)[0]


def test_no_key_vouches_for_a_history_that_was_cut_off(tmp_path, watched, have):
    have("ours", "ours")
    crowned(tmp_path, watched, 2)
    cut(watched, alias=1)
    with pytest.raises(RegistryError, match="the newest were cut off"):
        countersign(watched)


def test_a_host_that_did_not_see_them_misses_nothing(tmp_path, registry):
    """As the table of the README says."""
    crowned(tmp_path, registry, 2)
    cut(registry, alias=1)
    del registry.store.kept[2]
    assert audit(registry) == []
    late = MemoryRegistry(registry.store, witness=tmp_path / "seen")
    assert audit(late) == []
    folder, _ = make(tmp_path / "more", late, seed=7)
    assert promote(folder, policy=ASKED, registry=late).version == 3
    assert (tmp_path / "seen" / "risk.seen").exists()


def test_what_nobody_wrote_is_not_believed_and_a_full_disk_stops_nobody(tmp_path, watched, caplog, monkeypatch):
    crowned(tmp_path, watched, 1)
    (seen,) = watched.witness.iterdir()
    seen.write_text("{}")
    assert "does not say what was seen; look at the history, then remove that file" in found(watched)[0]
    seen.unlink()
    monkeypatch.setattr("safeguards.gate.witness.write_whole", full)
    assert audit(watched) == []
    assert "cannot be kept in" in caplog.text


def test_a_file_where_the_folder_was_is_not_nothing_seen(tmp_path, watched):
    crowned(tmp_path, watched, 1)
    watched.witness.rename(tmp_path / "away")
    watched.witness.write_text("no folder")
    assert audit(watched), "a folder that is gone saw nothing; this is not"
    assert f"cannot read {watched.witness / 'risk.seen'}: Not a directory" in found(watched)[0]


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "says",
    [
        '{"entries": -1, "newest": ""}',
        '{"entries": 0, "newest": ""}',
        '{"entries": true, "newest": ""}',
        '{"entries": "1", "newest": ""}',
        '{"entries": 1e300, "newest": ""}',
        f'{{"entries": {10**400}, "newest": ""}}',
        '{"entries": 1, "newest": null}',
        "[1]",
        "not JSON",
        " " * 20_000,
    ],
)
def test_nonsense_is_told_in_one_line_and_never_passes_for_nothing_seen(tmp_path, watched, says):
    crowned(tmp_path, watched, 1)
    (seen,) = watched.witness.iterdir()
    seen.write_text(says)
    (told,) = found(watched)
    assert told.startswith(f"history: {seen} ")
    assert told.endswith("; look at the history, then remove that file")
    with pytest.raises(RegistryError, match="then remove that file"):
        champion(watched, tmp_path / "x")
    assert seen.read_text() == says


def test_a_link_that_leads_nowhere_is_not_nothing_seen(tmp_path, watched):
    crowned(tmp_path, watched, 1)
    (seen,) = watched.witness.iterdir()
    seen.unlink()
    seen.symlink_to(tmp_path / "elsewhere")
    assert f"cannot read {seen}" in found(watched)[0]


def test_the_folder_may_be_named_from_the_home_of_the_user(tmp_path, here, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SAFEGUARDS_WITNESS", "~/seen")
    assert ModelRegistry("risk").witness == tmp_path / "seen"
    assert ModelRegistry("risk", witness="~/other").witness == tmp_path / "other"
    with pytest.raises(ConfigurationError, match=r"witness=~nobody-of.*name the folder in full"):
        ModelRegistry("risk", witness="~nobody-of-this-name/seen")
    monkeypatch.setenv("SAFEGUARDS_WITNESS", "~nobody-of-this-name/seen")
    with pytest.raises(ConfigurationError, match=r"SAFEGUARDS_WITNESS.*name the folder in full"):
        ModelRegistry("risk")


def test_in_mlflow_the_folder_is_named_once_for_a_host(tmp_path, here, monkeypatch):
    from mlflow.tracking import MlflowClient
    from sqlalchemy import create_engine, text

    monkeypatch.setenv("SAFEGUARDS_WITNESS", str(tmp_path / "seen"))
    crowned(tmp_path, ModelRegistry("risk"), 2)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    with create_engine(f"sqlite:///{tmp_path}/mlflow.db").begin() as database:
        database.execute(text("DELETE FROM params WHERE key = 'history.000002'"))
    client.set_registered_model_alias("risk", "champion", "1")
    assert "this host saw 2" in found(ModelRegistry("risk"))[0]
    monkeypatch.delenv("SAFEGUARDS_WITNESS")
    assert "history" not in "".join(found(ModelRegistry("risk")))
    assert "this host saw 2" in found(ModelRegistry("risk", witness=tmp_path / "seen"))[0]
