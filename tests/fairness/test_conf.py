"""The YAML of the topic builds the callback, and names every argument that YAML can give."""

import inspect
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from pytorch_lightning.cli import LightningArgumentParser

from safeguards import FairnessCheck, SafeguardOptions
from safeguards.core.batch import BatchFields

CONF = Path(__file__).parents[2] / "conf" / "safeguards" / "fairness.yaml"
FUNCTIONS_ONLY = {"predict"}


def built(entry):
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=pl.Callback)
    return parser.instantiate_classes(parser.parse_object({"callback": entry})).callback


def test_builds_what_it_says():
    entry = yaml.safe_load(CONF.read_text())
    guard = built(entry)
    assert set(entry) == {"class_path", "init_args"}
    assert isinstance(guard, FairnessCheck)
    assert isinstance(guard.fields, BatchFields)
    assert dict(guard.fields.groups) == {"sex": "sex", "age_group": "age_group"}
    assert set(guard.limits) == set(FairnessCheck.measures)
    assert guard.limits["demographic_parity_difference"].at_most == 0.1


def test_every_argument_is_there_with_its_default():
    given = yaml.safe_load(CONF.read_text())["init_args"]
    own = {k: p for k, p in inspect.signature(FairnessCheck).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert set(given) == (set(own) | set(SafeguardOptions.__annotations__)) - FUNCTIONS_ONLY
    for name, parameter in own.items():
        assert name == "fields" or given[name] == parameter.default


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_typo_is_refused():
    entry = yaml.safe_load(CONF.read_text())
    entry["init_args"]["min_suport"] = 5
    with pytest.raises(Exception, match="min_suport"):
        built(entry)
