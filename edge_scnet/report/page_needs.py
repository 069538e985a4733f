"""The packages that the page needs, for those who ask before they import what draws it."""

from __future__ import annotations

NEEDS = ("matplotlib", "jinja2")
