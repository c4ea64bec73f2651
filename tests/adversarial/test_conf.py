"""The YAML of the topic builds the callback, and names every argument that YAML can give."""

import inspect
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.cli import LightningArgumentParser

from safeguards import AdversarialEvaluation, SafeguardOptions, ThreatModel

CONF = Path(__file__).parents[2] / "conf" / "safeguards" / "adversarial.yaml"
FUNCTIONS_ONLY = {"predict"}


def entry() -> dict:
    return yaml.safe_load(CONF.read_text())


def built(given: dict) -> AdversarialEvaluation:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=pl.Callback)
    return parser.instantiate_classes(parser.parse_object({"callback": given})).callback


def test_builds_what_it_says() -> None:
    guard = built(entry())
    assert set(entry()) == {"class_path", "init_args"}
    assert isinstance(guard, AdversarialEvaluation)
    assert isinstance(guard.threat, ThreatModel)
    assert guard.threat.norm == "inf"
    assert guard.threat.largest_eps == 0.1
    assert guard.limits["robust_accuracy"].at_least == 0.5


def test_every_argument_is_there_with_its_default() -> None:
    given = entry()["init_args"]
    own = {k: p for k, p in inspect.signature(AdversarialEvaluation).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert set(given) == (set(own) | set(SafeguardOptions.__annotations__)) - FUNCTIONS_ONLY
    for name, parameter in own.items():
        assert name in ("fields", "threat") or given[name] == parameter.default


def test_lists_per_feature() -> None:
    given = entry()
    given["init_args"]["threat"] |= {"eps": [0.1, 0.2], "clip": [[0, 0], [1, 5]], "mutable": [True, False]}
    threat = built(given).threat
    row = torch.zeros(2)
    torch.testing.assert_close(threat.reach(row), torch.tensor([0.1, 0.0]))
    assert torch.stack(threat.range(row)).tolist() == [[0, 0], [1, 5]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_typo_is_refused() -> None:
    given = entry()
    given["init_args"]["smaples"] = 5
    with pytest.raises(Exception, match="smaples"):
        built(given)
