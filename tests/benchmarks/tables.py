"""Writes docs/benchmarks.md, and the marked figures of all pages, from the committed results.

    python tests/benchmarks/tables.py [--write]

Without --write it names the pages that are not current, and the figures that stand outside marks;
exit code 1 where there is one. A benchmark is run with `--out tests/benchmarks/results/NAME.json`,
then this program; `figure_marks.py` says how pages cite figures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from envelope import all_results
from figure_marks import MarkError, Results, rendered, unmarked
from result_tables import TABLES, sections

from edge_scnet.core.files import write_text

ROOT = Path(__file__).parent.parent.parent
PAGE = "docs/benchmarks.md"
# made by other programs, from the code
GENERATED = ("docs/reference", "docs/schemas")
HEAD = """\
# Benchmarks

<!-- Written by `python tests/benchmarks/tables.py --write`: do not edit. -->

Every table here, and every measured figure of the README and of these pages, is rendered from a
JSON file in `tests/benchmarks/results/` of the repository, which a program in `tests/benchmarks/`
wrote; a test holds the pages to the files. Below each table stand the day, the machine, what was
measured and the command. Times are shown only of runs beside which the machine did nothing else.

"""
TAIL = """\
## How a page cites a figure

Between marks; `python tests/benchmarks/tables.py --write` writes what stands between them:

```text
<!-- figure: zoo.networks.FastestDet.engines.ours.simulated.sqnr_db -->20.8 dB<!-- /figure -->
<!-- figure: zoo.networks.FastestDet.engines.ours.simulated.sqnr_db:2 -->20.83 dB<!-- /figure -->
<!-- figure: zoo.machine -->AMD EPYC, 2 cores, AVX2<!-- /figure -->

<!-- table: zoo -->
| the table of this page |
<!-- /table -->

A limit of 0.5 pp. <!-- not measured: a default -->
```

A key is the name of a file in `tests/benchmarks/results/`, then the way to a value below its
`figures`; `.machine`, `.date`, `.commit`, `.command` and `.versions` are of the file itself. A
figure that was not measured, as a limit or a default, is written as code, or its paragraph has the
comment; where the comment is a paragraph of its own, it is of the next. Tables:
"""


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that people write: the README, CONTRIBUTING and docs/."""
    written = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    others = [root / name for name in (PAGE, *GENERATED)]
    return sorted(
        path for path in written if not any(path.is_relative_to(other) for other in others)
    )


def current(results: Results, root: Path = ROOT) -> dict[Path, str]:
    """Each page as it should be.

    Raises:
        MarkError: a mark names nothing; the message begins with the page.
    """
    names = ", ".join(f"`{name}`" for name in TABLES)
    texts = {root / PAGE: f"{HEAD}{''.join(sections(results))}{TAIL}{names}.\n"}
    for path in pages(root):
        try:
            texts[path] = rendered(path.read_text(encoding="utf-8"), results, TABLES)
        except MarkError as error:
            raise MarkError(f"{path.relative_to(root)}: {error}") from error
    return texts


def stale(results: Results, root: Path = ROOT) -> dict[Path, str]:
    """The pages that are not as they should be, with what they should be."""
    return {
        path: text
        for path, text in current(results, root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def strays(root: Path = ROOT) -> list[str]:
    """Figures outside marks, as `PAGE:LINE: figure`."""
    return [
        f"{path.relative_to(root)}:{found}"
        for path in pages(root)
        for found in unmarked(path.read_text(encoding="utf-8"))
    ]


def main() -> None:
    """Compares the pages with the results, or writes them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    try:
        found = stale(all_results())
    except MarkError as error:
        sys.exit(str(error))
    for path, text in found.items():
        print(f"{'written' if write else 'not current'}: {path.relative_to(ROOT)}")
        if write:
            write_text(path, text)
    unmarked_figures = strays()
    for stray in unmarked_figures:
        print(f"no mark: {stray}")
    sys.exit(bool(unmarked_figures) or (bool(found) and not write))


if __name__ == "__main__":
    main()
