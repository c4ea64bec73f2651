"""The page, made by Evidently of hostile names and values: parsed, and opened in headless Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from safeguards.drift import page
from safeguards.drift.findings import Comparison
from safeguards.drift.page import draw
from safeguards.drift.profile import Profile, profile
from tests.drift.one_look import compare_once

HOSTILE = (
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "[a](javascript:document.title='pwned')",
)
BENIGN = ("first", "second", "third", "fourth")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no Chromium: `apt-get install chromium` lets this test run"
Made = tuple[Profile, Profile, dict[str, Comparison]]


def frame(names: tuple[str, ...], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(seed, 1, 400) for name in names}
    words = {f"{name} word": rng.choice(names[seed:], 400) for name in names}
    return pd.DataFrame({**columns, **words})


def made(names: tuple[str, ...]) -> Made:
    reference, current = (profile(frame(names, seed), sample=400) for seed in (1, 0))  # the first name is unseen
    return reference, current, compare_once(reference, current)


def drawn(names: tuple[str, ...], folder: Path) -> Path:
    reference, current, found = made(names)
    path = folder / "drift" / f"{len(names[0])}.html"
    assert draw(reference.sample, current.sample, found, path, title=names[0]) is None
    return path


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.titles: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.handlers += [value for _, value in attrs if value and value.strip().lower().startswith("javascript:")]
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["title"]:
            self.titles.append(data)
        if not {"script", "style"} & set(self._inside):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(HOSTILE, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def benign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(BENIGN, tmp_path_factory.mktemp("benign"))


def test_hostile_names_make_no_element_and_no_attribute(hostile: Path, benign: Path) -> None:
    page, other = Parsed(hostile.read_text()), Parsed(benign.read_text())
    assert page.tags == other.tags
    assert page.tags["script"] == 4
    assert page.handlers == other.handlers == []


def test_hostile_names_are_still_read_in_the_table(hostile: Path) -> None:
    text = Parsed(hostile.read_text()).text
    assert "‹img src=x onerror=”document.title=’pwned’”›" in text  # noqa: RUF001 - look-alikes
    assert "distance" in text


def test_the_names_as_they_were_are_kept_beside(hostile: Path) -> None:
    kept = json.loads(hostile.with_suffix(".names.json").read_text())
    assert {name for name in kept.values() if not name.endswith(" word")} == set(HOSTILE)
    assert not list(hostile.parent.glob("*.part"))


def _open(path: Path, profile_folder: Path) -> Parsed:
    assert BROWSER is not None
    switches = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-quic --virtual-time-budget=10000 --dump-dom"
    )
    command = [BROWSER, *switches.split(), f"--user-data-dir={profile_folder}", path.as_uri()]
    return Parsed(subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout)


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
def test_no_script_of_a_hostile_name_runs_and_the_report_is_seen(hostile: Path, tmp_path: Path) -> None:
    seen = _open(hostile, tmp_path)
    assert "pwned" not in seen.titles
    assert seen.tags["script"] == 4
    assert seen.handlers == []
    assert "Dataset Drift is detected" in seen.text
    assert "as in the table above" in seen.text
    assert seen.tags["svg"] > 5


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "as Evidently makes it"])
def test_the_browser_would_have_shown_it(locked: bool, tmp_path: Path) -> None:
    reference, current, found = made(HOSTILE)
    raw = page._evidently(reference.sample, current.sample, found, {name: name for name in found}, 0.5)
    path = tmp_path / "page.html"
    path.write_text(page.secured(raw) if locked else raw)
    assert ("pwned" in _open(path, tmp_path / "profile").titles) is not locked


def test_the_table_stands_where_evidently_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ValueError("<b>no</b>")

    monkeypatch.setattr(page, "_evidently", fail)
    reference, current, found = made(HOSTILE)
    problem = draw(reference.sample, current.sample, found, tmp_path / "a.html", title="t")
    assert problem == "the charts are missing: ValueError: <b>no</b>"
    seen = Parsed((tmp_path / "a.html").read_text())
    assert (seen.tags["script"], seen.tags["b"]) == (0, 0)
    assert "the charts are missing: ValueError: ‹b›no‹/b›" in seen.text  # noqa: RUF001 - look-alikes
    assert seen.tags["tr"] == 1 + len(found)


def awkward(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "plain": rng.normal(size=300),
            "infinite": np.r_[np.inf, -np.inf, rng.normal(size=298)],
            "none": np.full(300, np.nan),
            "none as objects": np.array([None] * 300, dtype=object),
            "constant": 1,
            "day": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 99, 300), unit="D"),
            "lasts": pd.to_timedelta(rng.integers(0, 99, 300), unit="s"),
            "whole": pd.array(rng.integers(0, 3, 300), dtype="Int64"),
            "code": pd.Categorical(rng.integers(0, 3, 300)),
            "text": [f"{i} {seed}" for i in range(300)],
            "yes": rng.random(300) > 0.5,
            "turned" if seed else "other": 1.0,
            "mixed": np.array(["a", 1, None] * 100, dtype=object),
            "type": rng.normal(size=300) if seed else ["a"] * 300,
        }
    )


def test_columns_that_evidently_cannot_take_do_not_lose_the_rest(tmp_path: Path) -> None:
    reference, current = (profile(awkward(seed), sample=300) for seed in (0, 1))
    found = compare_once(reference, current)
    assert draw(reference.sample, current.sample, found, tmp_path / "a.html", title="t") is None
    text = (tmp_path / "a.html").read_text()
    for name in ("plain", "infinite", "day", "lasts", "whole", "code", "text", "yes", "mixed", "constant"):
        assert f'"column_name": "{name}"' in text


def test_one_page_over_another_leaves_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_evidently", lambda *_: "")
    reference, current, found = made(BENIGN)
    for title in ("one", "two"):
        draw(reference.sample, current.sample, found, tmp_path / "a.html", title=title)
    assert "<h1>two</h1>" in (tmp_path / "a.html").read_text()


def test_the_worst_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_evidently", lambda *_: "")
    reference, current = (pd.DataFrame({"a": np.arange(4000.0), "b": np.arange(4000.0) + add}) for add in (0, 3000))
    sides = profile(reference, sample=4000), profile(current, sample=4000)
    found: Mapping[str, Comparison] = compare_once(*sides)
    draw(reference, current, found, tmp_path / "a.html", title="t")
    text = (tmp_path / "a.html").read_text()
    assert text.index("<td>b</td>") < text.index("<td>a</td>")


def test_where_nothing_can_be_drawn_the_findings_say_why(tmp_path: Path) -> None:
    whole, empty = (profile(pd.DataFrame({"a": [value] * 50}), sample=50) for value in (1.0, None))
    problem = draw(whole.sample, empty.sample, compare_once(whole, empty), tmp_path / "a.html", title="t")
    told = "no column has values on both sides: the findings say what is wrong with each"
    assert problem == f"the charts are missing: SafeguardError: {told}"
    assert "every current value is missing" in (tmp_path / "a.html").read_text()
