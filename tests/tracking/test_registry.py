"""The registry: versions born with their tags, a history of which each entry has one writer, errors without secrets."""

import multiprocessing

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from safeguards import ConfigurationError
from safeguards.core.errors import RegistryError
from safeguards.tracking import ModelRegistry
from safeguards.tracking.registry import LONGEST_ENTRY

PLACE = "a" * 64


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "files"
    (place / "model").mkdir(parents=True)
    (place / "record.json").write_text("record")
    (place / "model" / "weights").write_text("weights")
    return place


def test_a_registry_that_nobody_wrote_to_is_empty_and_stays_so(here):
    registry = ModelRegistry("risk")
    assert (registry.versions(), registry.champion(), registry.history(), registry.newest_record()) == (
        [],
        None,
        [],
        None,
    )
    assert registry.tracking("0" * 32) is None
    registry.fetch(PLACE, ["record.json"], here / "fetched")
    assert not (here / "fetched").exists()
    from mlflow.tracking import MlflowClient

    assert MlflowClient(f"sqlite:///{here}/mlflow.db").search_registered_models() == []


def test_a_version_is_born_with_its_tags_and_its_files(here, folder):
    registry = ModelRegistry("risk")
    assert registry.register(folder, PLACE, tags={"safeguards.record": PLACE, "safeguards.state": "registered"}) == 1
    (version,) = registry.versions()
    assert version.tags == {"safeguards.record": PLACE, "safeguards.state": "registered"}
    assert registry.is_stored_by_us(version, PLACE)
    assert not registry.is_stored_by_us(version, "b" * 64)
    registry.tag(1, {"safeguards.state": "promoted \ud800"})
    registry.point(1)
    registry.point(1)
    again = ModelRegistry("risk")
    assert again.versions()[0].tags["safeguards.state"] == "promoted ?"
    assert (again.champion(), again.newest_record()) == (1, PLACE)
    registry.fetch(PLACE, ["record.json", "model/weights", "model/none", "none"], here / "fetched")
    assert sorted(path.name for path in (here / "fetched").rglob("*")) == ["model", "record.json", "weights"]
    assert (here / "fetched" / "model" / "weights").read_text() == "weights"


def test_models_do_not_meet(here, folder):
    one, other = ModelRegistry("risk"), ModelRegistry("risk 2")
    one.register(folder, PLACE, tags={})
    assert one.append(1, "mine")
    assert (other.versions(), other.history()) == ([], [])
    assert other.append(1, "theirs")
    assert one.history() == ["mine"]


def test_an_entry_is_written_once(here):
    registry = ModelRegistry("risk")
    assert registry.append(1, "first")
    assert not registry.append(1, "second")
    assert registry.append(1, "first"), "the answer to a request may be lost, and the request sent again"
    assert registry.append(2, "x" * LONGEST_ENTRY)
    assert [len(entry) for entry in registry.history()] == [5, LONGEST_ENTRY]
    with pytest.raises(RegistryError, match="6000 fit"):
        registry.append(3, "x" * (LONGEST_ENTRY + 1))


@pytest.mark.parametrize("times", [1, 2])
def test_a_tag_that_another_sets_at_the_same_moment_is_set_again(here, folder, monkeypatch, times):
    """As a server answers it: seen with two promotions at once, of which both told how the first had ended."""
    registry = ModelRegistry("risk")
    number = registry.register(folder, PLACE, tags={})
    answer, left = MlflowClient.set_model_version_tag, [times]

    def taken(*args):
        if left[0]:
            left[0] -= 1
            raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: model_version_tags")
        answer(*args)

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", taken)
    if times == 1:
        registry.tag(number, {"a": "1"})
        assert registry.versions()[0].tags["a"] == "1"
    else:
        with pytest.raises(RegistryError, match="IntegrityError"):
            registry.tag(number, {"a": "1"})


def test_a_file_is_attached_to_those_of_a_digest_and_replaced(here):
    registry, file = ModelRegistry("risk"), here / "card.html"
    for text in ("first", "second"):
        file.write_text(text)
        registry.attach(PLACE, file)
        registry.fetch(PLACE, ["card.html"], here / text)
        assert (here / text / "card.html").read_text() == text
    with pytest.raises(RegistryError, match="no digest"):
        registry.attach("../elsewhere", file)
    assert registry.versions() == []


def test_a_model_that_somebody_made_gets_a_history_too(here, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setattr("safeguards.tracking.registry.SETTLE_SECONDS", 0.0)
    MlflowClient(f"sqlite:///{here}/mlflow.db").create_registered_model("risk")
    one, other = ModelRegistry("risk"), ModelRegistry("risk")
    assert one.append(1, "first")
    assert not other.append(1, "second")
    assert other.history() == ["first"]


def write_entries(barrier, found, writer):
    registry = ModelRegistry("risk")
    barrier.wait()
    found.put([number for number in range(1, 6) if registry.append(number, f"{writer}")])


def test_of_many_writers_one_writes_each_entry(here):
    """Four processes that meet at a model that does not exist yet."""
    ModelRegistry("risk")
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(4), context.SimpleQueue()
    writers = [context.Process(target=write_entries, args=(barrier, found, writer)) for writer in range(4)]
    for writer in writers:
        writer.start()
    written = [number for _ in writers for number in found.get()]
    for writer in writers:
        writer.join(30)
    assert sorted(written) == [1, 2, 3, 4, 5]
    assert len(ModelRegistry("risk").history()) == 5


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's", ".x", "x" * 101, "<script>"])
def test_names_are_plain(name, here):
    with pytest.raises(ConfigurationError, match="expected letters"):
        ModelRegistry(name)


@pytest.mark.parametrize("place", ["../x", "A" * 64, "", "a" * 63])
def test_places_are_digests(place, here, folder):
    registry = ModelRegistry("risk")
    registry.append(1, "x")
    for ask in (
        lambda: registry.register(folder, place, tags={}),
        lambda: registry.fetch(place, ["record.json"], here / "x"),
    ):
        with pytest.raises(RegistryError, match="no digest"):
            ask()


def test_errors_have_no_secrets_and_no_chain(here, monkeypatch):
    registry = ModelRegistry("risk")

    def fail(*_, **__):
        raise RuntimeError("cannot reach http://me:canary-password@host")

    monkeypatch.setattr(registry._client, "get_registered_model", fail)
    with pytest.raises(RegistryError) as caught:
        registry.champion()
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(ConfigurationError, match="there is no folder"):
        ModelRegistry("risk", "sqlite:////nowhere/at/all.db")
