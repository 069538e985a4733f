"""Figures of pages, which stand between marks and are rendered from committed results.

    <!-- figure: zoo.networks.FastestDet.engines.ours.simulated.sqnr_db -->20.8 dB<!-- /figure -->
    <!-- table: zoo -->
    (a table)
    <!-- /table -->

A figure's key is the name of a file in `results/`, then the way to a value in its `figures`; what
its name ends in decides the unit (`_db`, `_pp`, `_percent`, `_ms`, `seconds`, `_bytes`, `ratio`),
and `:2` behind it the digits behind the point. `NAME.machine`, `.date`, `.commit`, `.command` and
`.versions` are of the result itself. A table is one of `tables.py`. The text between the marks is
written by `python tests/benchmarks/tables.py --write`, never by hand.

`unmarked` finds what looks measured and stands outside marks and code. A figure that was not
measured (a limit, a default) is written as code, or its paragraph has the comment
`<!-- not measured: why -->`; where that is a paragraph of its own, it is of the next, as of a
table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from envelope import Result

Results = Mapping[str, Result]
Tables = Mapping[str, Callable[[Results], str]]

# a mark that a page shows as an example, in code, is none
_PARTS = re.compile(
    r"<!-- table: (?P<table>\S+) -->\n.*?<!-- /table -->"
    r"|^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence) *$"
    r"|`[^`\n]+`"
    r"|<!-- figure: (?P<figure>[^\s:]+)(?::(?P<digits>\d))? -->.*?<!-- /figure -->",
    re.DOTALL | re.MULTILINE,
)
_MARK = re.compile(r"<!-- /?(?:figure|table)\b.*")
_NOT_MEASURED = re.compile(r"<!-- not measured: .+? -->", re.DOTALL)
# a level of confidence is chosen
_LEVEL = re.compile(r"\b9\d(?:\.\d+)? ?%\s+(?:\w+-sided\s+)?(?:interval|confiden|bound)")
_MEASURED = re.compile(
    r"(?<![\w.,])[-+]?\d[\d,]*(?:\.\d+)?(?:\s?(?:dB|ms|us|µs|pp|kB|MB|GB|images/s|%)(?!\w)|x(?!\w))"
)


class MarkError(ValueError):
    """A mark names no value or no table, or is not closed; the message says which."""


def rendered(text: str, results: Results, tables: Tables) -> str:
    """A page with every figure and every table as the results have them.

    Raises:
        MarkError: a mark is not closed, or names nothing.
    """

    def part(match: re.Match[str]) -> str:
        if name := match["table"]:
            if name not in tables:
                raise MarkError(f"no table {name!r}; there are {', '.join(sorted(tables))}")
            body = tables[name](results).strip()
            return f"<!-- table: {name} -->\n{body}\n<!-- /table -->"
        if key := match["figure"]:
            digits = match["digits"]
            shown = value_text(results, key, None if digits is None else int(digits))
            opening = match[0][: match[0].index("-->") + 3]
            return f"{opening}{shown}<!-- /figure -->"
        return match[0]

    if stray := _MARK.search(_PARTS.sub("", text)):
        raise MarkError(f"{stray[0][:80]!r} has no other half, or its name no right form")
    return _PARTS.sub(part, text)


def noisy_times(text: str, results: Results) -> list[str]:
    """Marks of times in results beside which the machine did something else."""
    found = []
    for match in _PARTS.finditer(text):
        key = match["figure"] or (match["table"] if match["table"] in _TABLES_WITH_TIMES else None)
        is_time = match["table"] or (key or "").endswith(_TIMES)
        if key and is_time and not results[key.partition(".")[0]].quiet:
            found.append(key)
    return found


def unmarked(text: str) -> list[str]:
    """What looks like a measured figure and is not marked, as `LINE: figure`."""
    # lines keep their numbers
    prose = _PARTS.sub(lambda match: " " + "\n" * match[0].count("\n"), text)
    prose = _LEVEL.sub("", prose)
    found, line, excused = [], 1, False
    for paragraph in re.split(r"(\n\s*\n)", prose):
        plain = _NOT_MEASURED.sub("", paragraph)
        if not excused and plain == paragraph:
            for match in _MEASURED.finditer(paragraph):
                at = line + paragraph[: match.start()].count("\n")
                found.append(f"{at}: {match[0].strip()}")
        if paragraph.strip():
            excused = not plain.strip()
        line += paragraph.count("\n")
    return found


def value_text(results: Results, key: str, digits: int | None = None) -> str:
    """A figure as a page shows it.

    Args:
        key: of a result, and in it, as in `zoo.date` or `main_job.runs.cpu.sqnr_db`.

    Raises:
        MarkError: there is no such result or value.
    """
    name, *way = key.split(".")
    if name not in results:
        raise MarkError(f"{key}: no result {name!r}; there are {', '.join(sorted(results))}")
    result = results[name]
    facts = {
        "machine": machine_text,
        "date": lambda found: found.date_utc[:10],
        "commit": lambda found: (found.commit or "unknown")[:7],
        "command": lambda found: f"`{found.command}`",
        "versions": versions_text,
    }
    if len(way) == 1 and way[0] in facts:
        return facts[way[0]](result)
    value: Any = result.figures
    for step in way:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            known = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            raise MarkError(f"{key}: no {step!r}; there is {known}")
    unit = next((step for step in reversed(way) if not step.isdecimal()), "")
    return with_unit(value, unit, digits)


# by the end of a name: digits behind the point, and how a value is written
_UNITS: dict[str, tuple[int, str]] = {
    "_db": (1, "{} dB"),
    "_pp": (2, "{} pp"),
    "_percent": (1, "{} %"),
    "_ms": (2, "{} ms"),
    "seconds": (1, "{} s"),
    "_per_second": (0, "{}/s"),
    "_bytes": (1, "{} MB"),
    "ratio": (2, "{}x"),
    "speedup": (2, "{}x"),
}
_TIMES = ("_ms", "seconds", "_per_second", "speedup")
# those that are printed whole, whatever the machine did
_TABLES_WITH_TIMES = ("main_job.printed", "main_job.shortened")
# those whose sign says which way
_SIGNED = ("_pp", "over_it_db")


def with_unit(value: Any, name: str, digits: int | None = None) -> str:
    """A value, or one with its interval, in the unit that its name tells.

    Raises:
        MarkError: it is no figure.
    """
    end = next((end for end in _UNITS if name.endswith(end)), None)
    usual, form = _UNITS[end] if end else (0, "{}")
    scale = 1e6 if end == "_bytes" else 1.0

    def number(one: float) -> str:
        places = usual if digits is None else digits
        sign = "+" if name.endswith(_SIGNED) else ""
        return f"{one / scale:{sign},.{places}f}"

    if isinstance(value, dict) and {"ratio", "low", "high"} <= value.keys():
        value, usual, form = [value["ratio"], value["low"], value["high"]], 2, "{}x"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return form.format(number(value))
    if isinstance(value, list) and len(value) == 3 and all(isinstance(v, float) for v in value):
        return f"{form.format(number(value[0]))} ({number(value[1])} to {number(value[2])})"
    raise MarkError(f"{name} is {type(value).__name__}, and no figure")


def machine_text(result: Result) -> str:
    """The processor, its cores and the instruction sets that matter, and the system."""
    machine = result.environment
    has = set(machine["features"])
    sets = [
        name
        for name, flags in (
            ("AVX2", {"avx2"}),
            ("AVX-512", {"avx512f"}),
            ("VNNI", {"avx512_vnni", "avx_vnni"}),
            ("BF16", {"avx512_bf16", "amx_bf16"}),
            ("AMX", {"amx_int8"}),
        )
        if flags & has
    ]
    if machine["architecture"] == "x86_64" and "VNNI" not in sets:
        sets.append("no VNNI")
    if limit := machine.get("onednn_max_cpu_isa"):
        sets.append(f"limited to {limit}")
    words = [machine["cpu_model"], f"{machine['cores']} cores", ", ".join(sets), machine["system"]]
    return ", ".join(word for word in words if word)


def versions_text(result: Result) -> str:
    """What was measured, with its version."""
    packages = result.environment["packages"]
    names = ("edge-scnet", "openvino", "onnxruntime", "torch", "tensorrt-rtx")
    found = [f"{name} {packages[name]}" for name in names if name in packages]
    if result.commit:
        changed = ", changed" if result.modified else ""
        found[0] += f" ({result.commit[:7]}{changed})"
    return ", ".join([*found, *(f"{name} {v}" for name, v in sorted(result.peers.items()))])
