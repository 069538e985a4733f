"""Ends with an error unless a tag and this checkout name one version: check_tag.py v1.2.3"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(tag: str) -> str | None:
    """Returns what is wrong; None: nothing."""
    source = (ROOT / "edge_scnet" / "__about__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        return "edge_scnet/__about__.py holds no line __version__ = ..."
    version = found[1]
    if tag != f"v{version}":
        return f"the tag is {tag}, edge_scnet/__about__.py says {version}: tag it v{version}"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        return f"CHANGELOG.md has no heading: ## [{version}] - YEAR-MONTH-DAY"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    if f"\nversion: {version}\n" not in citation:
        return f"CITATION.cff does not say version: {version}"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check_tag.py v1.2.3")
    sys.exit(main(sys.argv[1]))
