"""The page: what it says, that it is whole, and that nothing of a name is acted on."""

import base64
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from safeguards.search import page as made_by
from safeguards.search.drawing import drawn
from safeguards.search.page import sensitivity_page
from safeguards.search.sensitivity import Sensitivity
from safeguards.search.story import Tried

HOSTILE = "</p></title><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">$\\x$"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "p",
    "img",
    "div",
    "ul",
    "li",
    "table",
    "tr",
    "th",
    "td",
}


def sensitivity(gaps=(-0.1, 0.2), objective="accuracy", limit="toy/gap", nudges=("rate = 0.4", "rate = 0.6")):
    def tried(value, gap, number=7):
        return Tried(number=number, state="complete", values={objective: value}, violations={limit: gap})

    lost = Tried(number=9, state="failed", reason=f"killed {HOSTILE}")
    return Sensitivity(
        found=tried(0.5, -0.2),
        objectives=[objective],
        constraints=[limit],
        unmeasured=1000.0,
        seeds={f"seed {n}": tried(0.5 + n / 100, gap) for n, gap in enumerate(gaps)} | {"seed 9": lost},
        nudges={name: tried(0.4, -0.2) for name in nudges},
    )


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.handlers, self.words, self.sources = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def written(one, name="study", shares=None):
    return sensitivity_page(one, name=name, shares=shares or {})


def test_the_page_says_first_whether_the_trial_is_fragile():
    text = written(sensitivity())
    assert 'class="box fragile">trial 7 is FRAGILE: 2 of 3 seeds keep toy/gap' in text
    assert "by any other seed:</p><ul><li>accuracy with rate = 0.4, rate = 0.6</li></ul>" in text
    assert "holds all 3 seeds" in text, "the one that was killed told nothing"
    assert '<td class="over">0.2</td>' in text
    assert '<td class="over">-0.1</td>' not in text
    assert '<td class="over">not measured</td>' in written(sensitivity(gaps=(1000.0,)))
    steady = written(sensitivity(gaps=(-0.1,), nudges=()))
    assert 'class="box">trial 7 keeps every limit with each of 2 seeds' in steady
    assert "No value could be moved" in steady
    assert "Not known: it takes 10 trials" in steady


def test_nothing_of_a_name_is_acted_on_and_nothing_is_loaded():
    one = sensitivity(objective=HOSTILE, limit=HOSTILE + "2", nudges=(HOSTILE, HOSTILE + "3"))
    parsed = Parsed(written(one, name=HOSTILE, shares={HOSTILE: {HOSTILE: 1.0}}))
    assert parsed.tags == TAGS
    assert parsed.handlers == []
    assert len(parsed.sources) == 2
    assert all(one.startswith("data:image/png;base64,") for one in parsed.sources)
    for source in parsed.sources:
        assert base64.b64decode(source.partition(",")[2]).startswith(b"\x89PNG")
    assert any("script" in word for word in parsed.words), "the name is shown"


def test_the_policy_runs_no_script():
    assert "default-src 'none'; img-src data:" in written(sensitivity())
    assert "script-src" not in written(sensitivity())


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium: `apt-get install chromium` lets this test run")
def test_a_browser_shows_it_and_runs_nothing(tmp_path):
    file = tmp_path / "page.html"
    one = sensitivity(objective=HOSTILE, limit=HOSTILE + "2", nudges=(HOSTILE,))
    file.write_text(written(one, name=HOSTILE), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    shown = subprocess.run([BROWSER, *options, file.as_uri()], capture_output=True, text=True, timeout=240, check=True)
    assert "<title>Sensitivity</title>" in shown.stdout


def test_the_picture_has_a_row_for_each_training_and_shows_what_was_measured(monkeypatch):
    figures = []

    def keep(width, height, draw):
        return drawn(width, height, lambda figure: (figures.append(figure), draw(figure))[1])

    monkeypatch.setattr(made_by, "drawn", keep)
    one = sensitivity(gaps=(-0.1, 1000.0))
    made_by.draw_spread(one)
    accuracy, gap = figures[0].axes
    labels = [label.get_text() for label in accuracy.get_yticklabels()]
    assert labels == ["as found", "other seeds", "rate = 0.4", "rate = 0.6"]
    spots = [tuple(map(float, spot)) for found in gap.collections for spot in found.get_offsets().data]
    assert sorted(spots) == [(-0.2, 0.0), (-0.2, 2.0), (-0.2, 3.0), (-0.1, 1.0)]
    assert gap.get_title() == "toy/gap\n1 not measured"
    assert made_by.draw_spread(replace(one, nudges={}, seeds={})).startswith(b"\x89PNG")
