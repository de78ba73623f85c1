"""`python -m tests.page pictures`: the pictures in docs/pictures. `python -m tests.page figures`: what a page costs."""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import time
from pathlib import Path

from reconciler.page.index import Index
from reconciler.page.query import read_query
from reconciler.page.render import render, render_file
from tests.page.browser import launched, served
from tests.page.samples import SAMPLES, large, sample

FOLDER = Path(__file__).parents[2] / "docs/pictures"
LARGEST = 200_000
SECONDS_GOAL, BYTES_GOAL = 0.150, 300_000

# Name → sample, path, width, height, colour scheme.
PICTURES = {
    "page-fleet": ("sample", "/", 1180, 1010, "light"),
    "page-fleet-dark": ("sample", "/", 1180, 1010, "dark"),
    "page-app": ("sample", "/app/api", 1180, 820, "light"),
    "page-hosts-dark": ("sample", "/hosts", 1180, 820, "dark"),
    "page-history": ("sample", "/history", 1180, 720, "light"),
    "page-calm": ("calm", "/", 1180, 620, "light"),
    "page-large": ("large", "/?group=host", 1180, 900, "dark"),
    "page-phone": ("sample", "/", 390, 844, "light"),
}
KEPT = ("page-fleet", "page-fleet-dark", "page-app", "page-phone")


def main() -> int:
    """0 when every picture was made, or every goal is met."""
    parser = argparse.ArgumentParser(prog="python -m tests.page", description=__doc__)
    parser.add_argument("what", choices=["pictures", "figures"])
    parser.add_argument("--all", type=Path, metavar="DIR", help="pictures: every one, into this folder")
    arguments = parser.parse_args()
    return make_pictures(arguments.all) if arguments.what == "pictures" else print_figures()


def make_pictures(every: Path | None) -> int:
    """Make those that the docs show, or every one into another folder."""
    folder = every or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    too_large = 0
    with launched() as browser, served() as site:
        for name in PICTURES if every else KEPT:
            made, path, width, height, scheme = PICTURES[name]
            site.show(SAMPLES[made]())
            size = {"width": width, "height": height}
            tab = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
            tab.goto(site.address + path)
            while tab.evaluate("document.getElementById('link').className !== 'live'"):
                tab.wait_for_timeout(20)
            file = folder / f"{name}.png"
            tab.screenshot(path=file)
            tab.close()
            print(f"{file}: {file.stat().st_size:,} bytes")
            too_large += file.stat().st_size > LARGEST
    return int(bool(too_large))


def print_figures() -> int:
    """Print how long 1,000 hosts with 5 apps take (processor time), and the size of the page. 1 for a missed goal."""
    render(Index(sample()), read_query("/", ""))  # type: ignore[arg-type]
    missed = 0
    for path in ("/", "/hosts", "/history", "/plan", "/app/app1"):
        query, seconds, size = read_query(path, ""), list[float](), 0
        assert query is not None
        for _ in range(5):
            snapshot, began = large(), time.process_time()
            html = (render(Index(snapshot), query) or "").encode()
            seconds.append(time.process_time() - began)
            size = len(gzip.compress(html, 5))
        median = statistics.median(seconds)
        missed += median > SECONDS_GOAL or size > BYTES_GOAL
        print(f"1,000 x 5  {path:10} {median * 1000:5.0f} ms (goal 150)   {size / 1000:5.1f} kB gzipped (goal 300)")
    whole = render_file(Index(large())).encode()
    print(f"1,000 x 5  one file   {len(whole) / 1e6:.1f} MB, {len(gzip.compress(whole)) / 1000:.0f} kB gzipped")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
