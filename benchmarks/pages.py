"""Draws the pictures of pages in docs/: a program and the curves of a run, as `stepcoder view` shows them.

    stepcoder train --config configs/starter.yaml
    python -m benchmarks.pages runs/starter --trajectory 7:53:0

Needs Chromium. The pictures in docs/ are of two such runs of one machine.
"""

import argparse
import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from tests.tools.browser import Page, browser

WIDTHS = {"program_page": 1040, "overview_page": 1240}  # pixels of the window, two of the picture for each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--trajectory", metavar="STEP:TICKET:SAMPLE", help="the program to draw")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder (default: docs)")
    options = parser.parse_args()
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "view", str(options.run), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        found = re.search(r"http://\S+/", server.stderr.readline())
        assert found is not None, "the server did not start"
        with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as page:
            if options.trajectory:
                names: dict[str, str] = dict(
                    zip(("step", "ticket", "sample"), options.trajectory.split(":"), strict=True)
                )
                page.look(WIDTHS["program_page"], scale=2)
                page.open(f"{found[0]}trajectory?{urlencode(names)}")
                page.run("document.querySelectorAll('.group, .tests ~ *, .keys').forEach((e) => e.remove())")
                draw(page, "article.trajectory", options.out, "program_page")
            else:
                page.look(WIDTHS["overview_page"], scale=2)
                page.open(found[0])
                page.run("[...document.querySelectorAll('.chart')].slice(6).forEach((e) => e.remove());"
                         "document.querySelectorAll('.place, .events, .tools').forEach((e) => e.remove())")  # fmt: skip
                draw(page, "body", options.out, "overview_page")
    finally:
        server.terminate()
        server.wait()


def draw(page: Page, selector: str, folder: Path, name: str) -> None:
    """One element with a margin, in few colours."""
    out = folder / f"{name}.png"
    page.look(WIDTHS[name], page.run("document.documentElement.scrollHeight"), scale=2)
    left, top, width, height = page.run(
        f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
        "return [b.left + scrollX, b.top + scrollY, b.width, b.height]; })()"
    )
    edge = min(left, 12)
    clip = {"x": left - edge, "y": top - edge, "width": width + 2 * edge, "height": height + 2 * edge}
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        taken = page.picture(Path(file.name), clip=clip).read_bytes()
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
