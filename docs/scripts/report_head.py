"""Takes the picture of the README: the head of a build's report page.

    python docs/scripts/report_head.py build/scnet20-fashion-mnist/cpu [CHROMIUM]

Needs a Chromium. The page is shown 1000 pixels wide and cut above its table of engines.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "assets" / "report-head.png"
WIDTH, HEIGHT, MOST_BYTES = 1000, 650, 200_000


def main() -> None:
    """Writes the picture, with as many colours as it may have bytes."""
    from PIL import Image

    page = (Path(sys.argv[1]) / "report.html").resolve(strict=True)
    chromium = sys.argv[2] if len(sys.argv) > 2 else "/usr/bin/chromium"
    with tempfile.TemporaryDirectory() as scratch:
        shot = Path(scratch) / "shot.png"
        command = [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={scratch}/profile",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={shot}",
            page.as_uri(),
        ]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
        with Image.open(shot) as image:
            picture = image.convert("RGB").quantize(colors=64, dither=Image.Dither.NONE)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURE, optimize=True)
    if PICTURE.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{PICTURE} has {PICTURE.stat().st_size} bytes, at most {MOST_BYTES}")


if __name__ == "__main__":
    main()
