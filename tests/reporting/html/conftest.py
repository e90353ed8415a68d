"""A browser, and a page of the synthetic sweep, once a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium
from playwright.sync_api import Browser

from dominoes.reporting import completion, results
from dominoes.reporting.html import page as page_file
from dominoes.reporting.results import Results


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of this file."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def found(swept: Path) -> Results:
    """The synthetic sweep with fits and a comparison."""
    return completion.complete(results.gather([swept]))


@pytest.fixture(scope="module")
def page(found: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep's page."""
    path = tmp_path_factory.mktemp("page") / "sweep.html"
    page_file.write_page(found, path)
    return path
