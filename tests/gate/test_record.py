"""A record comes back as it was, has one digest, and no byte of it can be changed."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.canonical import canonical, digest_of
from safeguards.core.errors import EvidenceError, LedgerError
from safeguards.gate import Record, compare_means, compare_rates, seal, store_model
from safeguards.gate.record import LARGEST
from tests.gate.evidence import A, B, C, candidate, record, run_directory, verdict
from tests.gate.nets import ROWS, Net

COMPARED = (
    compare_rates("accuracy", [True, False, True], [True, True, True], data="holdout"),
    compare_means("loss", [0.5, 0.25, math.nan], [0.5, 0.75, 0.1], data="holdout"),
)


def test_a_record_comes_back_as_it_was(tmp_path):
    made = record(comparisons=COMPARED, champion=B, previous=C, verdicts=(verdict(), verdict(value=1, loader="night")))
    made.write(tmp_path / "record.json")
    read = Record.read(tmp_path / "record.json")
    assert read.digest == made.digest
    assert read.to_dict() == made.to_dict()
    assert read.compared("accuracy") == COMPARED[:1]
    assert read.compared("brier") == ()


def test_the_digest_is_of_everything_in_it():
    first = record()
    assert first.digest == digest_of(first.to_dict()) == record().digest
    changes = [
        {"weights": B},
        {"seeds": {"torch": 8}},
        {"verdicts": ()},
        {"costs": {}},
        {"champion": B},
        {"previous": B},
        {"notes": {}},
        {"data": {"train": B, "holdout": A}},
        {"comparisons": COMPARED[:1]},
        {"tracking_run": None},
    ]
    assert len({replace(first, **change).digest for change in changes} - {first.digest}) == len(changes)


def test_the_key_is_of_data_and_configuration_only():
    assert record().key == record(weights=B, made="2026-11-25T11:30:00+00:00", verdicts=()).key
    assert record().key != record(config=B).key
    assert record().key != record(data={"train": C, "holdout": C}).key


def test_any_byte_that_is_changed_is_noticed(tmp_path):
    """Every position of the file, each with a bit flipped, a byte left out and a byte put in."""
    record(comparisons=COMPARED).write(tmp_path / "record.json")
    content = (tmp_path / "record.json").read_bytes()
    assert Record.of(content, what="it")
    passed = []
    for at in range(len(content)):
        flipped = bytes([content[at] ^ 1])
        for changed in (flipped, b"", content[at : at + 1] + b" "):
            try:
                Record.of(content[:at] + changed + content[at + 1 :], what="it")
                passed.append(at)
            except EvidenceError as error:
                assert "\n" not in str(error)  # noqa: PT017 - in a loop over thousands
    assert passed == []


@given(st.integers(0, 4000))
def test_a_part_of_a_record_is_none(cut):
    content = canonical({"digest": record().digest, "record": record().to_dict()}) + b"\n"
    with pytest.raises(EvidenceError):
        Record.of(content[: min(cut, len(content) - 1)], what="it")


def test_another_form_of_the_same_values_is_refused(tmp_path):
    sealed = {"digest": record().digest, "record": record().to_dict()}
    for content in (json.dumps(sealed).encode(), canonical(sealed), canonical({**sealed, "more": 1}) + b"\n"):
        with pytest.raises(EvidenceError):
            Record.of(content, what="it")


def test_a_record_of_another_form_says_so():
    data = {**record().to_dict(), "form": 2}
    with pytest.raises(EvidenceError, match="form 2, and this version reads form 1; take the one that sealed it"):
        Record.of(canonical({"digest": digest_of(data), "record": data}) + b"\n", what="it")


@pytest.mark.parametrize(
    "change",
    [{"more": 1}, {"weights": "A" * 64}, {"model": "../risk"}, {"verdicts": [{}]}, {"seeds": 3}, {"data": {"x": "y"}}],
)
def test_a_well_sealed_record_of_nonsense_is_refused(change):
    data = {**record().to_dict(), **change}
    with pytest.raises(EvidenceError):
        Record.of(canonical({"digest": digest_of(data), "record": data}) + b"\n", what="it")


def test_a_comparison_whose_numbers_contradict_each_other_is_refused():
    data = record(comparisons=COMPARED[:1]).to_dict()
    data["comparisons"][0]["difference"] = 0.9
    with pytest.raises(EvidenceError, match="no record of this form"):
        Record.of(canonical({"digest": digest_of(data), "record": data}) + b"\n", what="it")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", ".hidden", "a\nb", "x" * 101, "<script>"])
def test_names_of_models_are_plain(name):
    with pytest.raises(EvidenceError, match="model"):
        record(model=name)


def test_files_that_are_no_records_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(EvidenceError):
            Record.read(path)
    record().write(tmp_path / "record.json")
    (tmp_path / "link").symlink_to(tmp_path / "record.json")
    with pytest.raises(EvidenceError):
        Record.read(tmp_path / "link")
    monkeypatch.setattr("safeguards.gate.record.LARGEST", 100)
    with pytest.raises(EvidenceError, match="larger than the 100 bytes"):
        Record.read(tmp_path / "record.json")
    assert LARGEST > 10_000_000


def test_sealing_takes_in_the_run_the_model_and_the_files(tmp_path):
    folder, sealed = candidate(
        tmp_path, tracking_run="1" * 32, previous=B, comparisons=COMPARED[:1], notes={"why": "Monday"}
    )
    assert sealed == Record.read(folder / "record.json")
    assert sealed.run_id == "20261125-110000-00000000"
    assert [str(one.outcome) for one in sealed.verdicts] == ["PASS", "PASS"]
    assert sealed.costs == {"fairness": 0.5}
    assert sealed.notes == {"pt2": "not asked for", "why": "Monday"}
    assert sealed.seeds == {"torch": 0}
    assert (sealed.champion, sealed.previous, sealed.data["holdout"]) == (None, B, C)
    assert abs((datetime.fromisoformat(sealed.judged) - datetime.now(UTC)).total_seconds()) < 600
    others = {name: getattr(sealed, name) for name in ("weights", "stored", "config", "code", "lock", "ledger")}
    assert len(set(others.values())) == len(others)


def test_each_file_moves_its_own_digest_only(tmp_path):
    stored = store_model(Net(), tmp_path / "model", example=ROWS, pt2=False)
    run = run_directory(tmp_path)
    files = {name: tmp_path / name for name in ("config", "lock", "rows")}
    (tmp_path / "code" / "deep").mkdir(parents=True)
    files["code"] = tmp_path / "code" / "deep" / "one.py"
    for file in files.values():
        file.write_text("1")

    def sealed():
        return seal(
            run, stored, model="risk", config=files["config"], code=tmp_path / "code", lock=files["lock"],
            data={"rows": files["rows"]}, now=datetime(2026, 1, 1, tzinfo=UTC),
        ).to_dict()  # fmt: skip

    before = sealed()
    for name, key in (("config", "config"), ("lock", "lock"), ("code", "code"), ("rows", "data")):
        files[name].write_text("2")
        after = sealed()
        assert {part for part in after if after[part] != before[part]} == {key}
        before = after
    files["code"].rename(files["code"].with_name("two.py"))
    assert sealed()["code"] != before["code"]


def test_secrets_and_halves_of_characters_do_not_get_into_a_record(tmp_path, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "canary-of-the-environment")
    leaky = replace(
        verdict(),
        reason="could not reach postgres://me:canary-of-a-uri@host/db \ud800",
        details={"api_key": "canary-of-a-key", "said": "canary-of-the-environment"},
    )
    folder, sealed = candidate(tmp_path, verdicts=[leaky], notes={"token": "canary-of-a-note"})
    assert "canary" not in (folder / "record.json").read_text()
    assert "[redacted]" in sealed.verdicts[0].reason


def test_labels_of_groups_lose_secrets_and_halves_of_characters(tmp_path, monkeypatch):
    """They come out of the data, and stand in the names of comparisons."""
    monkeypatch.setenv("DB_PASSWORD", "canary-of-the-environment")
    right = np.ones(40, dtype=bool)
    labels = ("f", "token=canary-of-one", "token=canary-of-two", "canary-of-the-environment", "\ud800", "\ud801", "?")
    pairs = [compare_rates(f"accuracy/group={label}", right, right, data="holdout") for label in labels]
    folder, sealed = candidate(tmp_path, comparisons=pairs)
    assert "canary" not in (folder / "record.json").read_text()
    names = ["f", "token=[redacted]", "token=[redacted] (2)", "[redacted]", "?", "? (2)", "? (3)"]
    assert [one.measure for one in sealed.comparisons] == [f"accuracy/group={name}" for name in names]
    assert Record.read(folder / "record.json") == sealed


def test_what_is_damaged_cannot_be_sealed(tmp_path):
    stored = store_model(Net(), tmp_path / "model", example=ROWS, pt2=False)
    (tmp_path / "x.py").write_text("")
    parts = {"model": "risk", "config": {"a": 1}, "code": tmp_path, "lock": tmp_path / "x.py", "data": {"rows": A}}
    with pytest.raises(LedgerError):
        seal(tmp_path / "none", stored, **parts)
    run = run_directory(tmp_path)
    assert seal(run, stored, **parts).config == digest_of({"a": 1})
    for wrong in ({"lock": tmp_path / "none"}, {"data": {"rows": tmp_path / "none"}}, {"code": tmp_path / "model"}):
        with pytest.raises(EvidenceError):
            seal(run, stored, **{**parts, **wrong})
    (run / "costs.json").write_text('{"fairness": {"seconds": "many"}}')
    with pytest.raises(EvidenceError, match="costs"):
        seal(run, stored, **parts)
    (run / "costs.json").unlink()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(EvidenceError, match=r"weights\.safetensors was changed"):
        seal(run, stored, **parts)
    with (run / "verdicts.jsonl").open("ab") as file:
        file.write(b'{"torn')
    with pytest.raises(EvidenceError, match="ledger is damaged"):
        seal(run, stored, **parts)
