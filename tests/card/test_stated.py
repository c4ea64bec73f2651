"""What people state comes out of a file, as text and nothing else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from safeguards.card import Risk, Stated
from safeguards.core.errors import ConfigurationError

CONF = Path(__file__).parents[2] / "conf" / "card.yaml"


def written(place: Path, text: str) -> Path:
    (place / "card.yaml").write_text(text)
    return place / "card.yaml"


def test_the_file_that_is_given_away_states_nothing_and_has_every_key() -> None:
    assert Stated.read(CONF) == Stated() == Stated.read(None)
    assert list(yaml.safe_load(CONF.read_text())) == [one.name for one in fields(Stated)]
    assert len(Stated().missing) == len(fields(Stated))


def test_texts_and_risks_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "owner: ' Ann '\nretention: 10\nrisks:\n- {risk: bias, measure: fairness/parity}\n")
    found = Stated.read(path)
    assert (found.owner, found.retention) == ("Ann", "10")
    assert found.risks == (Risk(risk="bias", measure="fairness/parity"),)
    assert {"owner", "retention", "risks"}.isdisjoint(found.missing)
    assert {"Ann", "10", "bias", "fairness/parity"} <= {*found.texts()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ownr: Ann", "unknown key 'ownr'; known are "),
        ("owner: [Ann]", "owner is a list, expected a text"),
        ("owner: {a: b}", "owner is a dict, expected a text"),
        ("- owner", "holds no keys; see conf/card.yaml"),
        ("owner: 'a", "cannot read"),
        ("risks: [bias]", "a risk needs the keys"),
        ("risks: bias", "risks is a str, expected a list"),
        ("risks: [{risk: bias, by: Ann}]", "a risk needs the keys"),
        ("owner: !!python/object/apply:os.system ['true']", "cannot read"),
    ],
)
def test_what_is_no_text_is_refused_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="card.yaml") as told:  # noqa: RUF043 - any sign will do
        Stated.read(written(tmp_path, text))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_what_fits_on_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"owner has 20,001 characters, at most 20,000 fit"):
        Stated.read(written(tmp_path, f"owner: {'n' * 20_001}"))
    with pytest.raises(ConfigurationError, match="cannot read"):
        Stated.read(tmp_path / "none.yaml")


def test_a_secret_that_was_pasted_in_is_hidden(tmp_path: Path) -> None:
    assert (
        Stated.read(written(tmp_path, "data: 'from postgres://u:canary@db/x'")).data
        == "from postgres://[redacted]@db/x"
    )
