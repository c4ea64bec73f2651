"""Reports of other tools are not all UTF-8."""

from __future__ import annotations

import codecs

import pytest

from safeguards.card.app import _file
from safeguards.card.decoding import html_text

WORDS = "Prüfung: 5 €"


def declared(name: str, text: str = WORDS) -> str:
    return f'<!DOCTYPE html><meta charset="{name}"><p>{text}'


@pytest.mark.parametrize(
    ("content", "reads"),
    [
        (f"<p>{WORDS}".encode(), WORDS),
        (f"<p>{WORDS}".encode("cp1252"), WORDS),
        (declared("windows-1252").encode("cp1252"), WORDS),
        (declared("ISO-8859-1").encode("cp1252"), WORDS),
        (declared("iso-8859-15").encode("iso-8859-15"), WORDS),
        (declared("shift_jis", "検証").encode("shift_jis"), "検証"),
        (declared("utf-8").encode(), WORDS),
        (b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>" + "тест".encode("koi8-r"), "тест"),
        (b"<META content='text/html;charset=\"koi8-r\"' HTTP-EQUIV='content-type'/>" + "тест".encode("koi8-r"), "тест"),
        (b"<meta\nname=x charset = koi8-r >" + "тест".encode("koi8-r"), "тест"),
        (f'<meta name="description" content="charset=koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<meta name="description" content="a charset=koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<meta name="a>b" content=" charset=koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<meta data-charset="koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<meta http-equiv="refresh" content="1; charset=koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<metadata charset="koi8-r"><p>{WORDS}'.encode(), WORDS),
        (f'<!-- <meta charset="koi8-r"> --><p>{WORDS}'.encode(), WORDS),
        (f'<!-- <meta charset="koi8-r">{" " * 1024}--><p>{WORDS}'.encode(), WORDS),
        (b'<!-- > --><meta charset="koi8-r">' + "тест".encode("koi8-r"), "тест"),
        (declared("shift_jis", "①髙").encode("cp932"), "①髙"),
        (declared("gb2312", "镕").encode("gb18030"), "镕"),
        (declared("euc-kr", "똠").encode("cp949"), "똠"),
        (declared("iso-8859-9", "ş “€”").encode("cp1254"), "ş “€”"),
        (codecs.BOM_UTF8 + declared("windows-1252").encode(), WORDS),
        (codecs.BOM_UTF16_LE + f"<p>{WORDS}".encode("utf-16-le"), WORDS),
        (codecs.BOM_UTF16_BE + f"<p>{WORDS}".encode("utf-16-be"), WORDS),
    ],
)
def test_a_report_reads_as_in_a_browser(content: bytes, reads: str) -> None:
    text = html_text(content)
    assert text.endswith(reads)
    assert text.startswith("<")
    assert reads in _file(content, "report.html").get_data(as_text=True)


@pytest.mark.parametrize(
    "name", ["utf-7", "punycode", "hex", "unicode_escape", "none", "iso-8859-99", "utf-16", "x" * 999]
)
def test_what_is_no_set_of_a_web_page_is_not_decoded_by_it(name: str) -> None:
    text = f"{declared(name)} +ADw-script+AD4- \\x3c"
    assert html_text(text.encode()) == text


def test_bytes_that_are_nothing_never_raise() -> None:
    assert html_text(b"\x81\xff<p>") == "\ufffd\xff<p>"
    torn = declared("utf-8").encode()[:-1]
    assert html_text(torn) == declared("utf-8")[:-1] + "\ufffd"
