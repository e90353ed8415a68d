"""Debian's Chromium, driven by Playwright, for the tests of the page."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; skips the test where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium here; 'apt-get install chromium' lets the page be tested in a browser")
    with sync_playwright() as playwright:
        # As root, which CI is, Chromium starts without its sandbox only.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1280, scheme: str = "light", drawn: bool = True) -> Iterator[Page]:
    """A page opened from disk, all of its charts drawn. At the end: no error was logged and nothing but the file was asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True)  # type: ignore[arg-type]
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    if drawn:
        page.evaluate("() => window.dominoes.drawAll()")
    yield page
    assert not problems, problems
    outside = [url for url in requests if not url.startswith(("blob:", "data:")) and url != file.as_uri()]
    assert not outside, outside
    context.close()


def had(page: Page, figure: str) -> list[dict[str, str]]:
    """Rows of the CSV that a figure's data link gives."""
    with page.expect_download() as download:
        page.click(f"#{figure} a.data")
    return list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))


def hovered(page: Page, figure: str, trace: int, point: int, *, inside: bool = False) -> str:
    """What stands under the mouse at a point of a trace; of an area, in the middle between this point and the one across."""
    page.locator(f"#{figure} .plot").scroll_into_view_if_needed()
    place = page.evaluate(
        """([figure, trace, point, inside]) => {
          const box = document.querySelector(`#${figure} .plot`), drawn = box.data[trace], layout = box._fullLayout;
          const x = layout[(drawn.xaxis || "x").replace("x", "xaxis")], y = layout[(drawn.yaxis || "y").replace("y", "yaxis")];
          const at = box.getBoundingClientRect(), other = inside ? drawn.y.length - 1 - point : point;
          return [at.left + x._offset + x.d2p(drawn.x[point]), at.top + y._offset + y.d2p((drawn.y[point] + drawn.y[other]) / 2)];
        }""",
        [figure, trace, point, inside],
    )
    page.mouse.move(*place)
    label = page.locator(f"#{figure} .hoverlayer .hovertext").first
    label.wait_for()
    return label.text_content() or ""
