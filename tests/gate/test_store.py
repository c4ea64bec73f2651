"""A stored model comes back equal; what was changed is not loaded, what is not listed is not imported."""

import json
import pickle
import sys

import pytest
import torch
from torch import nn

from safeguards import ConfigurationError
from safeguards.core.canonical import canonical, sha256
from safeguards.core.errors import EvidenceError
from safeguards.gate import StoredModel, load_model, store_model
from safeguards.gate.loading import check_prediction, is_allowed
from tests.gate.nets import CLASSES, ROWS, Branching, Canary, Forgetful, Net, Tied, Two


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    torch.manual_seed(0)
    return store_model(Net(width=5), tmp_path_factory.mktemp("net"), example=ROWS, pt2=False)


@pytest.fixture
def copied(stored, tmp_path):
    for name in stored.names:
        (tmp_path / name).write_bytes((stored.folder / name).read_bytes())
    return tmp_path


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_model_comes_back_equal_and_ready(tmp_path):
    module = Net(width=5, note="ü")
    module.train()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    stored = store_model(module, tmp_path, example=ROWS, pt2=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert module.training
    loaded = load_model(tmp_path, allowed=CLASSES, digest=stored.digest)
    assert same(module, loaded)
    assert not any(child.training for child in loaded.modules())
    assert stored.arguments == {"features": 4, "width": 5, "note": "ü"}
    assert stored.class_path == "tests.gate.nets.Net"
    assert stored.names == ["model.json", "example.safetensors", "weights.safetensors"]
    assert check_prediction(stored, allowed=CLASSES) is None
    assert stored.check() == []
    assert StoredModel.read(tmp_path) == stored


def test_a_model_is_replaced_whole(tmp_path):
    store_model(Net(), tmp_path, example=ROWS, pt2=True)
    assert store_model(Net(), tmp_path).names == ["model.json", "weights.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_tied_weights_stay_one(by_hand, tmp_path):
    """By the constructor, or after it: then the arguments alone would untie them."""
    module = Tied(tied=not by_hand)
    if by_hand:
        module.decoder.weight = module.encoder.weight
    stored = store_model(module, tmp_path, example=ROWS, arguments={"tied": not by_hand}, pt2=False)
    assert stored.ties == {"decoder.weight": "encoder.weight"}
    loaded = load_model(tmp_path, allowed=CLASSES)
    assert loaded.decoder.weight is loaded.encoder.weight
    assert same(module, loaded)
    untied = store_model(Tied(tied=False), tmp_path, arguments={"tied": False})
    assert untied.ties == {}
    assert (tmp_path / "weights.safetensors").stat().st_size > 2 * 64


def test_weights_that_overlap_without_being_one_are_refused(tmp_path):
    module = Tied(tied=False)
    module.decoder.weight = nn.Parameter(module.encoder.weight.detach().t())
    with pytest.raises(ConfigurationError, match=r"encoder\.weight and decoder\.weight overlap"):
        store_model(module, tmp_path, arguments={"tied": False})
    apart = torch.zeros(32)
    module.encoder.weight, module.decoder.weight = (nn.Parameter(apart[i : i + 16].view(4, 4)) for i in (0, 16))
    assert store_model(module, tmp_path, arguments={"tied": False}).ties == {}


def test_whole_weights_from_elsewhere_are_stored_in_place_of_the_modules(tmp_path):
    elsewhere = Net()
    store_model(Net(), tmp_path, example=ROWS, state=elsewhere.state_dict(), pt2=False)
    assert same(load_model(tmp_path, allowed=CLASSES), elsewhere)


def test_a_tuple_is_positional_arguments_and_outputs_may_be_nested(tmp_path):
    two = store_model(Two(), tmp_path / "two", example=(ROWS, torch.ones(6, 1)), arguments={}, pt2=True)
    assert check_prediction(two, allowed=CLASSES) is None
    assert two.notes == {"pt2": "equal on the example; any number of rows"}
    tied = store_model(Tied(), tmp_path / "tied", example=ROWS, arguments={"tied": True})
    assert set(tied.example["outputs"]["dict"]) == {"code", "again"}
    assert check_prediction(tied, allowed=CLASSES) is None


def test_a_copy_by_export_is_there_or_the_reason_why_not(tmp_path):
    good = store_model(Net(), tmp_path / "good", example=ROWS)
    assert good.notes["pt2"].startswith("equal on the example")
    copy = torch.export.load(tmp_path / "good" / "model.pt2").module()
    assert torch.allclose(copy(ROWS), load_model(good, allowed=CLASSES)(ROWS))
    bad = store_model(Branching(), tmp_path / "bad", example=ROWS, arguments={})
    assert bad.notes["pt2"].startswith("none: ")
    assert "\n" not in bad.notes["pt2"]
    assert not (tmp_path / "bad" / "model.pt2").exists()
    assert check_prediction(bad, allowed=CLASSES) is None


def test_a_copy_that_predicts_something_else_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("safeguards.gate.exported.predict", lambda *_: torch.zeros(6, 2))
    stored = store_model(Net(), tmp_path, example=ROWS)
    assert stored.notes["pt2"].startswith("none: its copy predicts something else (outputs: numbers differ by up to")
    assert "model.pt2" not in stored.names


class Local(nn.Linear):
    """Of this file, which the tests import under another name."""


@pytest.mark.parametrize(
    ("module", "options", "match"),
    [
        (Forgetful(), {"example": ROWS, "arguments": {}}, "made anew from its arguments, predicts something else"),
        (Net(), {"arguments": {"loss": nn.ReLU()}}, "plain values, but a ReLU has no form"),
        (Net(), {"arguments": {"features": 5}}, "cannot be loaded: the stored weights do not fit"),
        (Net(), {"arguments": {"depth": 5}}, "cannot be made from its stored arguments"),
        (Net(), {"example": "text"}, "inputs holds a str: expected tensors"),
        (type("Net", (Net,), {})(), {}, "cannot be imported by that name"),
    ],
)
def test_what_cannot_be_stored_says_why(module, options, match, tmp_path):
    with pytest.raises(ConfigurationError, match=match):
        store_model(module, tmp_path, pt2=False, **options)


def test_a_class_of_a_script_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Net, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Net", Net, raising=False)
    with pytest.raises(ConfigurationError, match="at the top of a module of its own"):
        store_model(Net(), tmp_path)


def test_without_an_example_it_loads_but_nothing_shows_that_it_predicts(tmp_path):
    stored = store_model(Net(), tmp_path)
    assert load_model(stored, allowed=CLASSES)
    assert "no example was stored" in check_prediction(stored, allowed=CLASSES)


def test_a_model_that_gives_numbers_that_are_none_does_not_pass_the_check(tmp_path):
    module = Net()
    nn.init.constant_(module.network[3].bias, torch.nan)
    with pytest.raises(ConfigurationError, match="numbers that are none"):
        store_model(module, tmp_path, example=ROWS, pt2=False)


@pytest.mark.parametrize("name", ["model.json", "example.safetensors", "weights.safetensors"])
def test_no_byte_can_be_changed(name, copied, stored):
    """Every position: in the description, in the example, in the weights."""
    content, passed = (copied / name).read_bytes(), []
    for at in range(len(content)):
        (copied / name).write_bytes(content[:at] + bytes([content[at] ^ 32]) + content[at + 1 :])
        try:
            problems = StoredModel.read(copied, digest=stored.digest).check()
        except EvidenceError as error:
            problems = [str(error)]
        if not problems or "its bytes do not give its digest" not in problems[0]:
            passed.append(at)
    assert passed == []


@pytest.mark.parametrize("name", ["example.safetensors", "weights.safetensors"])
@pytest.mark.parametrize("what", ["cut", "longer", "gone", "link", "folder"])
def test_files_that_are_cut_missing_or_links_are_not_loaded(name, what, copied, tmp_path):
    file, content = copied / name, (copied / name).read_bytes()
    file.unlink()
    if what in ("cut", "longer"):
        file.write_bytes(content[:-1] if what == "cut" else content + b"x")
    elif what == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        file.mkdir()
    stored = StoredModel.read(copied)
    assert len(stored.check()) == 1
    with pytest.raises(EvidenceError):
        stored.content(name)


def test_a_class_that_is_not_listed_is_not_even_imported(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    stored = store_model(Canary(path=str(canary)), tmp_path / "model", arguments={"path": str(canary)})
    canary.unlink()
    monkeypatch.delitem(sys.modules, "tests.gate.nets")
    for allowed in ([], ["tests.gate.nets.Net"], ["tests.gate.*"], ["tests.*"], ["*"], [".*"]):
        with pytest.raises(EvidenceError, match=r"not among those that may be loaded: .*; if it may, name it there"):
            load_model(stored, allowed=allowed)
    assert not canary.exists()
    assert "tests.gate.nets" not in sys.modules
    assert is_allowed("a.b.C", ["a.b.*"])
    assert not is_allowed("a.b.c.D", ["a.b.*"])


def forged(folder, **changes):
    """A description with a right digest of its own, by somebody who can write to the folder."""
    data = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_bytes(canonical({**data, **changes}))
    return StoredModel.read(folder)


@pytest.mark.parametrize(
    "path", ["os.system", "tests.gate.nets.ROWS", "tests.gate.nets.Path", "tests.gate.nets.nn.Linear"]
)
def test_what_is_no_module_of_that_place_is_not_made(path, copied):
    with pytest.raises(EvidenceError):
        load_model(forged(copied, class_path=path), allowed=[path, *CLASSES, "os.*"])


@pytest.mark.parametrize(
    "changes",
    [
        {"class_path": "a"},
        {"class_path": "a.b;import os"},
        {"class_path": 3},
        {"files": {"../weights.safetensors": [1, "a"]}},
        {"files": {"weights.safetensors": "text"}},
        {"files": {}},
        {"files": {"weights.safetensors": [1, "a"], "evil.pkl": [1, "a"]}},
        {"form": 2},
        {"ties": []},
        {"arguments": None},
    ],
)
def test_a_forged_description_is_refused(changes, copied):
    with pytest.raises(EvidenceError, match="does not describe a stored model"):
        forged(copied, **changes)


@pytest.mark.parametrize(
    "ties", [{"network.0.weight": "network.0.bias"}, {"hparams": "network.0.weight"}, {"x": "network.0.bias"}]
)
def test_forged_ties_are_refused(ties, copied):
    with pytest.raises(EvidenceError):
        load_model(forged(copied, ties=ties), allowed=CLASSES)


class Bomb:
    """A pickle that leaves a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["weights.safetensors", "example.safetensors", "model.json", "model.pt2", "model.pkl"])
def test_a_pickle_planted_anywhere_does_not_run(name, copied, tmp_path):
    """Even with a right digest: nothing here reads pickles."""
    canary, bomb = tmp_path / "canary", pickle.dumps(Bomb(tmp_path / "canary"))
    (copied / name).write_bytes(bomb)
    with pytest.raises(EvidenceError):  # noqa: PT012 - of whichever of the two notices
        if name.startswith("model."):
            assert StoredModel.read(copied).check() == []
            assert load_model(copied, allowed=CLASSES)
            raise EvidenceError("never looked at")
        files = json.loads((copied / "model.json").read_text())["files"]
        stored = forged(copied, files={**files, name: [len(bomb), sha256(bomb)]})
        why = check_prediction(stored, allowed=CLASSES)
        raise EvidenceError(str(why))
    assert not canary.exists()
    pickle.loads(bomb)
    assert canary.exists()


def test_under_zero_the_whole_weights_are_asked_for(tmp_path):
    module = Net()
    module.network[0].weight.ds_id = 0
    with pytest.raises(ConfigurationError, match="state=full_state_dict"):
        store_model(module, tmp_path)
