"""A page of Evidently's with nothing of the data executed.

Evidently 0.7 puts names and values raw into a script block. Three locks, each of them enough against what it guards:
hostile signs in names and values become look-alikes before Evidently sees them; the data block is escaped so that
nothing in it closes its script; a content security policy runs this page's own scripts, by their digests, and no other.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from safeguards.core.errors import SafeguardError

__all__ = ["defused", "policy", "safe_names", "secured"]

LONGEST_NAME = 80
REMEDY = "install the release of evidently that requirements.lock names"
OWN_SCRIPTS = 4  # data, one line of set-up, Evidently's library, the call that draws

_LOOK_ALIKES = str.maketrans("<>&\"'`[]{}\\", "\u2039\u203a+\u201d\u2019\u2019()()/")
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_DATA_START = "<script>\n    var "
_DATA_END = ";\n</script>\n    </head>"  # JSON holds no raw newline, so no value can forge it
_CHARSET = '<meta charset="UTF-8">'


def defused(text: str) -> str:
    """``text`` with every sign that HTML, script or markdown could act on replaced by one that looks like it."""
    seen = str(text).translate(_LOOK_ALIKES)
    seen = "".join(sign if sign.isprintable() else "\u00b7" for sign in seen)
    return seen if len(seen) <= LONGEST_NAME else seen[: LONGEST_NAME - 1] + "\u2026"


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """What each name is shown as; two that come out alike are numbered."""
    taken: set[str] = set()
    shown: dict[str, str] = {}
    for name in names:
        safe = base = defused(name).strip() or "\u00b7"
        number = 1
        while safe in taken:
            number += 1
            safe = f"{base} #{number}"
        taken.add(safe)
        shown[name] = safe
    return shown


def secured(page: str) -> str:
    """Evidently's page with its data escaped and the policy in its head.

    Raises `SafeguardError` when the page is not built as expected: then it must not be shipped.
    """
    start, end = page.find(_DATA_START), page.rfind(_DATA_END)
    if not 0 <= start < end:
        raise SafeguardError(f"Evidently's page has another form than the one that can be made safe; {REMEDY}")
    start += len("<script>")
    page = (page[:start] + page[start:end].translate(_ESCAPES) + page[end:]).replace("\r\n", "\n").lstrip()
    scripts = _SCRIPT.findall(page)
    if len(scripts) != OWN_SCRIPTS or page.count(_CHARSET) != 1:
        raise SafeguardError(f"Evidently's page has {len(scripts)} scripts where {OWN_SCRIPTS} are known; {REMEDY}")
    return page.replace(_CHARSET, f"{_CHARSET}\n{policy(scripts)}", 1)


def policy(scripts: Sequence[str] = ()) -> str:
    """A content security policy that runs these inline scripts, and loads nothing from anywhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    own = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    rules = (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
