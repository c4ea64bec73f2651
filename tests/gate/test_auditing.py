"""The audit finds whatever was done to a registry behind the gate's back, and changes nothing itself."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from safeguards.core.canonical import canonical
from safeguards.core.errors import EvidenceError
from safeguards.gate import Finding, Signer, attach_card, audit, champion, promote, rollback
from safeguards.tracking.registered import Version
from tests.core.test_signing import keys
from tests.gate.evidence import GOOD, REQUIRED, policy
from tests.gate.test_promotion import ASKED, entries, make

__all__ = ["keys"]
pytestmark = pytest.mark.usefixtures("at_once")


@pytest.fixture
def two(registry, tmp_path):
    """A registry with two champions, the second one now."""
    for number in range(2):
        folder, _ = make(tmp_path / str(number), registry, seed=number)
        assert promote(folder, policy=ASKED, registry=registry).admitted
    return registry


def found(registry, **options):
    return [str(one) for one in audit(registry, **options)]


def stored(registry, root, version, name):
    """The file as the store keeps it."""
    digest = next(entry.record for entry in entries(registry) if entry.version == version)
    return root / "store" / "records" / digest / name


def test_nothing_is_found_where_nothing_was_done(two, registry, tmp_path):
    before = two.history(), two.versions()
    assert audit(two, policy=ASKED) == []
    assert (two.history(), two.versions()) == before
    rollback(two)
    assert audit(two) == []


def test_an_empty_registry_has_no_findings(registry):
    assert audit(registry) == []


def test_rulings_by_a_clock_that_was_ahead(registry, tmp_path):
    """It empties the window in which attempts count: each is a year old by then."""
    asked, today = policy(tracked=False, maximum_age_days=999), datetime.now(UTC)
    for number, days in enumerate((0, 400, 401, 402, 403)):
        folder, _ = make(tmp_path / str(number), registry, seed=number)
        assert promote(folder, policy=asked, registry=registry, now=today + timedelta(days=days)).admitted
    when = [one.when for one in entries(registry)]
    two, three, four, five = (f"entry {number} of {when[number - 1]}" for number in range(2, 6))
    for days, told in {0: f"{two}, {three}, {four} and 1 more", 400: f"{three}, {four}, {five}", 402: five}.items():
        (only,) = found(registry, now=today + timedelta(days=days))
        assert only.startswith(f"history: of a time to come: {told}; the clock of a host was ahead, and attempts")
        assert only.endswith(": put that clock right and look at what was promoted by it")
    assert audit(registry, now=today + timedelta(days=403)) == []


def test_an_alias_moved_outside(two):
    two.point(1)
    assert audit(two) == [
        Finding(subject="alias", text="champion was moved outside of the gate to version 1; the history says 2")
    ]


def test_an_alias_that_is_gone(two):
    two.store.alias = None
    assert found(two) == ["alias: champion is gone, and the history says version 2"]


def test_a_model_that_never_went_through_the_gate(two, tmp_path):
    two.store.kept[3] = Version(number=3, tags={}, source="s3://elsewhere/model", made=3)
    assert audit(two) == []
    two.point(3)
    assert found(two) == [
        "alias: champion was moved outside of the gate to version 3; the history says 2",
        "version 3: it is champion and has no record: it never went through the gate",
    ]


def test_in_mlflow_what_the_registry_allows_without_a_word(tmp_path, in_mlflow):
    """FAULTS R3 and R4: an alias to a version with no files, and the champion deleted."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    folder, _ = make(tmp_path / "a", in_mlflow)
    assert promote(folder, policy=ASKED, registry=in_mlflow).admitted
    client.create_model_version("risk", "s3://elsewhere/model", tags=dict(in_mlflow.versions()[0].tags))
    client.set_registered_model_alias("risk", "champion", "2")
    assert found(in_mlflow) == [
        "alias: champion was moved outside of the gate to version 2; the history says 1",
        "version 2: its source is not where the gate stored its files",
    ]
    client.delete_model_version("risk", "2")
    client.delete_model_version("risk", "1")
    assert found(in_mlflow) == [
        "version 1: the champion was deleted from the registry",
        "alias: champion is gone, and the history says version 1",
    ]


@pytest.mark.parametrize(("version", "who"), [(1, "an earlier champion"), (2, "the champion")])
def test_a_champion_that_was_deleted(two, version, who):
    del two.store.kept[version]
    if version == 2:
        two.store.alias = None
    lines = found(two)
    assert lines[0] == f"version {version}: {who} was deleted from the registry"
    assert ("alias: champion is gone, and the history says version 2" in lines) == (version == 2)


@pytest.mark.parametrize(
    "name", ["record.json", "model/model.json", "model/weights.safetensors", "model/example.safetensors"]
)
@pytest.mark.parametrize("what", ["changed", "gone", "cut"])
def test_files_that_were_changed_or_are_missing(two, tmp_path, name, what):
    file = stored(two, tmp_path, 1, name)
    content = file.read_bytes()
    if what == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if what == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    lines = [line for line in found(two) if "chained" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("version 1: ")
    assert name.rpartition("/")[2] in lines[0]
    assert "/tmp" not in lines[0]


@pytest.mark.parametrize(
    "name", ["MLmodel", "model.pkl", "code/x.py", "model/model.pt2", "model/data/x", "model/deep/er/x.pkl"]
)
def test_files_that_the_gate_did_not_put_there(two, tmp_path, name):
    """MLflow's loaders open what lies under a version's source: a pickle there would run."""
    file = stored(two, tmp_path, 2, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("planted")
    seen = {"model/deep/er/x.pkl": "model/deep", "model/data/x": "model/data", "code/x.py": "code"}.get(name, name)
    (line,) = found(two)
    assert line.startswith(f"version 2: '{seen}' lies beside the record ")
    for ask in (lambda: champion(two, tmp_path / "fetched"), lambda: rollback(two, to=1) and rollback(two, to=2)):
        with pytest.raises(EvidenceError, match=f"'{seen}' lies beside the record"):
            ask()


def test_a_card_beside_a_record_is_no_stranger(two, tmp_path):
    (tmp_path / "card.html").write_text("<p>a card")
    attach_card(two, entries(two)[1].record, tmp_path / "card.html")
    assert audit(two) == []
    stored(two, tmp_path, 2, "model/card.html").write_text("<p>no card")
    assert "'model/card.html' lies beside the record" in found(two)[0]


def test_a_record_that_was_put_in_the_place_of_another(two, tmp_path):
    """Whole and well sealed, but another's."""
    for name in ("record.json", "model/model.json", "model/weights.safetensors", "model/example.safetensors"):
        stored(two, tmp_path, 1, name).write_bytes(stored(two, tmp_path, 2, name).read_bytes())
    assert any("the registry holds another record in place of" in line for line in found(two))


def test_a_tag_that_names_another_record(two):
    two.tag(1, {"safeguards.record": two.versions()[1].tags["safeguards.record"]})
    assert any(line.startswith("version 1: its tag names another record than the history does") for line in found(two))
    two.tag(1, {"safeguards.record": "../../etc"})
    assert any(line.startswith("version 1: its tag names another record than the history does") for line in found(two))


@pytest.mark.parametrize(
    "edit",
    [
        lambda entry: {**entry, "who": "somebody else"},
        lambda entry: {**entry, "why": "a better reason"},
        lambda entry: {**entry, "when": "2020-01-01T00:00:00+00:00"},
        lambda entry: {**entry, "before": 7},
    ],
)
def test_an_entry_of_the_history_that_was_edited(two, edit):
    held = json.loads(two.history()[0])
    two.store.entries[1] = canonical({**held, "entry": edit(held["entry"])}).decode()
    assert any("entry 2 does not follow the one before it" in line for line in found(two))


def test_an_entry_that_was_left_out_or_is_none(two):
    two.store.entries[1] = "{}"
    assert "history: entry 1: it is no entry of a history" in found(two)
    del two.store.entries[1]
    assert any("does not follow the one before it" in line for line in found(two))


def test_a_history_that_nobody_with_the_key_wrote(registry, tmp_path, keys, monkeypatch):
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "theirs.pem"))
    folder, _ = make(tmp_path / "a", registry)
    promote(folder, policy=ASKED, registry=registry)
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "theirs.pub"))
    assert audit(registry) == []
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(keys / "ours.pub"))
    assert any("not among those trusted" in line for line in found(registry) if line.startswith("history"))
    assert Signer.configured()


def test_waivers_that_expired(registry, tmp_path):
    def asked(expires):
        return policy(
            tracked=False,
            maximum_age_days=10_000,
            waivers=[{"measure": REQUIRED[1], "reason": "no attack", "name": "R. Meyer", "expires": expires}],
        )

    folder, _ = make(tmp_path / "a", registry, verdicts=GOOD[:1])
    assert promote(folder, policy=asked("2999-01-01"), registry=registry).admitted
    assert audit(registry, policy=asked("2999-01-01")) == []
    assert found(registry, policy=asked("2026-01-01"), now=datetime(2998, 1, 1, tzinfo=UTC)) == [
        f"waiver: {REQUIRED[1]}, waived by R. Meyer, expired on 2026-01-01: no attack"
    ]
    later = datetime(2999, 1, 2, tzinfo=UTC)
    assert found(registry, now=later) == [
        f"waiver: version 1, the champion, needed a waiver of {REQUIRED[1]}, which expired on 2999-01-01T00:00:00+00:00"
    ]


def test_what_was_stopped_halfway_says_how_to_go_on(registry, tmp_path, monkeypatch):
    folder, _ = make(tmp_path / "a", registry)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(registry), "append", stop)
        with pytest.raises(KeyboardInterrupt):
            promote(folder, policy=ASKED, registry=registry)
    assert found(registry) == ["version 1: it was evaluated and never ruled on: run safeguards promote again"]
    with monkeypatch.context() as patched:
        patched.setattr(type(registry), "point", stop)
        with pytest.raises(KeyboardInterrupt):
            promote(folder, policy=ASKED, registry=registry)
    assert "a promotion to version 1 was stopped before its alias moved" in found(registry)[0]
    assert promote(folder, policy=ASKED, registry=registry).admitted
    assert audit(registry) == []
