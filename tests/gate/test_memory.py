"""The registry that most tests use does what MLflow's does."""

import pytest

from safeguards.core.errors import RegistryError

PLACE = "a" * 64


@pytest.fixture(params=["registry", "in_mlflow"])
def either(request):
    return request.getfixturevalue(request.param)


def test_both_answer_alike(either, tmp_path):
    assert (either.versions(), either.champion(), either.history(), either.newest_record()) == ([], None, [], None)
    assert either.tracking("0" * 32) is None
    (tmp_path / "files" / "model").mkdir(parents=True)
    (tmp_path / "files" / "model" / "x").write_text("x")
    assert [either.register(tmp_path / "files", PLACE, tags={"safeguards.record": PLACE}) for _ in range(2)] == [1, 2]
    either.tag(1, {"b": "2", "a": "1"})
    assert [one.tags for one in either.versions()] == [
        {"safeguards.record": PLACE, "a": "1", "b": "2"}, {"safeguards.record": PLACE},
    ]  # fmt: skip
    assert [one.number for one in either.versions()] == [1, 2]
    assert either.newest_record() == PLACE
    assert either.is_stored_by_us(either.versions()[0], PLACE)
    either.point(2)
    assert either.champion() == 2
    with pytest.raises(RegistryError):
        either.point(3)
    assert [either.append(1, "a"), either.append(1, "b"), either.append(1, "a"), either.append(2, "b")] == [
        True, False, True, True,
    ]  # fmt: skip
    assert either.history() == ["a", "b"]
    either.fetch(PLACE, ["model/x", "model/y"], tmp_path / "fetched")
    assert [path.name for path in sorted((tmp_path / "fetched").rglob("*"))] == ["model", "x"]
    assert either.strangers(PLACE, {"model/x", "record.json"}) == []
    assert either.strangers(PLACE, {"model/y", "record.json"}) == ["model/x"]
    assert either.strangers(PLACE, {"record.json"}) == ["model"]
    assert either.strangers("b" * 64, {"model/x"}) == []
    with pytest.raises(RegistryError, match="no digest"):
        either.fetch("../x", ["x"], tmp_path)
