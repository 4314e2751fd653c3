"""Opens every page of the built site in Chromium, wide and on a phone, and says what is wrong.

    python scripts/check_site.py docs/_build/html                       # after sphinx-build
    python scripts/check_site.py docs/_build/html --pictures pictures   # and keeps a picture of each page

Reported are errors on the console, requests that fail or leave the folder, links within the site that lead
nowhere, pictures that do not load, and pages that scroll sideways on a phone. The status is 1 if there are
any. Needs playwright and a Chromium (``chromium``, ``chromium-browser`` or ``google-chrome``).
"""

import argparse
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Page, sync_playwright

SIZES = {"wide": (1280, 900), "phone": (390, 844)}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LINKS = "[...document.querySelectorAll('a[href]')].map(link => link.href)"
_BROKEN = "[...document.images].filter(x => x.complete && !x.naturalWidth).map(x => x.src)"
_SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def look(page: Page, file: Path, picture: Path | None) -> set[str]:
    """What is wrong with a page, in words."""
    found: set[str] = set()
    page.on("console", lambda m: found.add(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: found.add(f"error: {error}"))
    page.on("requestfailed", lambda request: found.add(f"not loaded: {request.url}"))
    page.goto(file.as_uri(), wait_until="load")
    found |= {f"picture does not load: {source}" for source in page.evaluate(_BROKEN)}
    found |= {f"dead link: {link}" for link in page.evaluate(_LINKS) if not leads_somewhere(link)}
    if (pixels := page.evaluate(_SIDEWAYS)) > 1:
        found.add(f"scrolls sideways by {pixels} pixels")
    if picture is not None:
        page.screenshot(path=picture, full_page=True)
    return found


def leads_somewhere(link: str) -> bool:
    """Whether a link is to another site, or to a file that there is with the place that it names."""
    parts = urlsplit(link)
    if parts.scheme != "file":
        return True
    file = Path(unquote(parts.path.removeprefix("/") if sys.platform == "win32" else parts.path))
    if not file.is_file():
        return False
    name = unquote(parts.fragment)
    return not name or file.suffix != ".html" or f'id="{name}"' in file.read_text(encoding="utf-8")


def main() -> int:
    """Checks all pages; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    files = sorted(x for x in folder.rglob("*.html") if "_static" not in x.parts)
    count = 0
    with sync_playwright() as playwright:
        executable = next(filter(None, map(shutil.which, _NAMES)), None)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            for file in files:
                name = file.relative_to(folder).with_suffix("")
                picture = None
                if options.pictures:
                    picture = options.pictures / size / f"{'-'.join(name.parts)}.png"
                    picture.parent.mkdir(parents=True, exist_ok=True)
                page = browser.new_page(viewport={"width": width, "height": height})
                for trouble in sorted(look(page, file, picture)):
                    print(f"{name} ({size}): {trouble}", flush=True)
                    count += 1
                page.close()
        browser.close()
    print(f"{len(files)} pages, {count} faults")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
