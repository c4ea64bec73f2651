"""A card in headless Chromium: nothing in it runs or is fetched, and what is folded away is there on paper."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from safeguards.card import Risk, Stated, evidence_of, lint_card, model_card
from safeguards.gate import History, Ruling
from tests.card.conftest import HOSTILE
from tests.card.records import GROUPS, record
from tests.helpers.browser import CHROMIUM, SWITCHES, browser, opened
from tests.helpers.markup import Parsed
from tests.helpers.runs import verdict

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
SURROGATE = "half \ud800 a sign"


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[str, list[str]]]:
    """An address that writes down what is fetched from it."""
    found: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", found
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def hostile(asked: tuple[str, list[str]]) -> str:
    """Every text of the record, of the ruling, of the history and of what people state is hostile."""
    place = asked[0]
    fetching = (
        f"<img src={place}/img>",
        f"'\"><link rel=stylesheet href={place}/css>",
        f"</style><style>@import '{place}/i'",
    )
    texts = (*HOSTILE, *fetching)
    groups = [{**GROUPS["groups"][0], "group": text} for text in texts]  # type: ignore[index]
    columns = {text: {"standing": text, "distance": 0.1, "p_adjusted": 0.5} for text in texts}
    curve = [{"eps": 0.1, "accuracy": 0.5}]
    tables = {**GROUPS, "groups": groups, "columns": columns, "page": texts[0], "min_effect": 0.1, "curve": curve}
    details = {**tables, "attack": dict(zip(texts, texts, strict=True)), "checks": dict(zip(texts, texts, strict=True))}
    verdicts = [
        verdict(text[:70], "FAIL", safeguard=text[-70:], epoch=epoch, reason=text, unit=text[:9], details=details)
        for text in texts
        for epoch in (0, 1)
    ]
    silent = [verdict(text, "NOT_EVALUATED", safeguard="s", reason=text) for text in texts]
    named = dict.fromkeys(texts, 1.0)
    sealed = record(
        verdicts=(*verdicts, *silent),
        run_id=texts[0],
        tracking_run=texts[1],
        costs=named,
        notes=dict(zip(texts, texts, strict=True)),
        seeds=dict.fromkeys(texts, 7),
        data=dict.fromkeys(texts, "b" * 64),
    )
    told = {"who": texts[0], "why": texts[1], "policy": "", "before": None, "after": 1, "version": 1}
    entry = History(entries=(), problems=()).next(when=texts[2], action="promoted", record="c" * 64, **told)
    said = {one.name: texts[place % len(HOSTILE)] for place, one in enumerate(fields(Stated)) if one.name != "risks"}
    stated = Stated(**said, risks=(Risk(risk=texts[0], measure=texts[1], residual=texts[2], accepted_by=texts[3]),))
    evidence = evidence_of(
        sealed,
        ruling=Ruling(admitted=False, reasons=(*texts, SURROGATE), waived=texts),
        history=History(entries=(entry,), problems=()),
    )
    page = model_card(evidence, stated=stated)
    assert lint_card(page, evidence, stated) == []
    return page


def test_hostile_texts_are_text(hostile: str) -> None:
    seen = Parsed(hostile)
    assert seen.handlers == []
    assert seen.unbalanced == []
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & set(seen.tags)
    assert [one for one in seen.addresses if not one.startswith("#")] == []
    assert "<script>document.title='pwned'</script>" in seen.text
    assert r"safe \u202egpj.exe\u2066" in seen.text
    assert r"half \ud800 a sign" in seen.text
    assert hostile.encode("utf-8")


@browser
def test_nothing_runs_and_nothing_is_fetched(hostile: str, asked: tuple[str, list[str]], tmp_path: Path) -> None:
    """With the card's own policy, and by escaping alone."""
    _, fetched = asked
    for name, page in {"card": hostile, "without policy": POLICY.sub("", hostile)}.items():
        (tmp_path / f"{name}.html").write_text(page)
        assert opened((tmp_path / f"{name}.html").as_uri(), tmp_path / f"{name}.profile").title == "Model card"
    assert len(POLICY.findall(hostile)) == 1
    assert fetched == []


ASK = """<script>
const all = (what) => [...document.querySelectorAll(what)];
const seen = (one) => one.getBoundingClientRect().height > 0 && one.checkVisibility();
const shown = (what) => all(what).filter(seen).length;
document.title = ["details table", "details", "summary", "a.skip"].map((what) => shown(what)).join(" ");
</script></body>"""


@browser
def test_what_is_folded_away_on_a_screen_is_there_on_paper(tmp_path: Path) -> None:
    page = POLICY.sub("", model_card(evidence_of(record()))).replace("</body>", ASK)
    for name, text, said in (
        ("screen", page, "0 1 1 1"),
        ("paper", page.replace("@media print", "@media all"), "1 1 0 0"),
    ):
        (tmp_path / f"{name}.html").write_text(text)
        assert opened((tmp_path / f"{name}.html").as_uri(), tmp_path / name).title == said


@browser
def test_it_prints_on_a4(tmp_path: Path) -> None:
    (tmp_path / "card.html").write_text(model_card(evidence_of(record())))
    command = [str(CHROMIUM), *SWITCHES.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    pdf = tmp_path / "card.pdf"
    subprocess.run([*command, f"--print-to-pdf={pdf}", (tmp_path / "card.html").as_uri()], timeout=240, check=True)
    sides = {tuple(map(float, one)) for one in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf.read_bytes())}
    assert len(sides) == 1
    assert sides.pop() == pytest.approx((595.3, 841.9), abs=1.0)
