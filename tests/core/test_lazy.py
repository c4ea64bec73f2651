"""Names that load their module when they are used."""

import sys

import pytest

from safeguards.core.lazy import lazy


def test_a_name_loads_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    load = lazy("json", {"main": "tool", "Limit": "safeguards.core.limit"})
    assert "json.tool" not in sys.modules
    assert load("main").__module__ == "json.tool"
    assert load("Limit").__module__ == "safeguards.core.limit"


def test_any_other_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"^module 'json' has no attribute 'maim'$"):
        lazy("json", {"main": "tool"})("maim")
