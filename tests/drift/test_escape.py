from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from safeguards.core.errors import SafeguardError
from safeguards.drift.escape import LONGEST_NAME, defused, policy, safe_names, secured

HOSTILE = "</script><script>alert(1)</script>&\u2028"
PAGE = """
    <!DOCTYPE html>
    <html lang="en">
    <head>
        <meta charset="UTF-8">
        <script>
    var metric_1 = %s;
    var additional_graphs_metric_1 = {};
</script>
    </head>
    <body>
    <script>var global = globalThis</script>
    <script>lib("<script")</script>
    <script>draw()</script>
    </body>
    </html>
"""


def page(value: str = HOSTILE) -> str:
    return PAGE % json.dumps({"name": value}, ensure_ascii=False)


def test_look_alikes() -> None:
    assert defused("<b onclick='x'>&[a](b)\\") == "‹b onclick=’x’›+(a)(b)/"  # noqa: RUF001 - look-alikes
    assert defused("Größe (m²), 年齢_1") == "Größe (m²), 年齢_1"
    assert defused("a\x1b[31m\u202eb\n") == "a·(31m·b·"
    assert len(defused("x" * 500)) == LONGEST_NAME


def test_names_that_come_out_alike_are_numbered() -> None:
    assert safe_names(["<a", "[a", "(a", "", " "]) == {"<a": "‹a", "[a": "(a", "(a": "(a #2", "": "·", " ": "· #2"}  # noqa: RUF001


def test_data_cannot_close_its_script() -> None:
    made = secured(page())
    assert len(re.findall("</script>", made)) == 4
    data = re.search(r"var metric_1 = (.*);\n", made)
    assert data is not None
    assert json.loads(data.group(1)) == {"name": HOSTILE}
    assert not set("<>&\u2028") & set(data.group(1))


def test_a_value_cannot_forge_the_end_of_the_data() -> None:
    forged = ";\n</script>\n    </head><body><script>alert(1)</script>"
    assert len(re.findall("</script>", secured(page(forged)))) == 4


def test_the_policy_names_every_script_of_the_page_and_no_other() -> None:
    made = secured(page())
    allowed = set(re.findall(r"'sha256-([^']+)'", made))
    scripts = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    assert allowed == {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert "unsafe-inline'; img" in made
    assert "script-src 'unsafe-inline'" not in made
    assert made.index("Content-Security-Policy") < made.index("<script>")


def test_without_scripts_none_may_run() -> None:
    assert "script-src 'none'" in policy()


@pytest.mark.parametrize(
    "other",
    [
        "<html></html>",
        page().replace("<script>draw()</script>", ""),
        page().replace("<script>draw()</script>", "<script>draw()</script><script>more()</script>"),
        page().replace('<meta charset="UTF-8">', ""),
    ],
    ids=["no data", "a script less", "a script more", "no head"],
)
def test_a_page_of_another_form_is_not_shipped(other: str) -> None:
    with pytest.raises(
        SafeguardError, match=r"Evidently's page .*; install the release of evidently that requirements"
    ):
        secured(other)
