"""The documents as a site: complete, and asking nothing of a network."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from browser import chromium
from documents import ROOT, commands

from dominoes.spec import DominoSpec, TrainSpec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, where every warning is an error."""
    out = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return out


def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    """Scripts, styles, fonts, pictures and frames of every page lie in the site; links that a reader may click are no loading."""
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*>", page.read_text(encoding="utf-8")):
            assert not re.search(r"(?:src|href|data|srcset)=[\"']?(?:https?:)?//", tag), (page.name, tag)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", style.read_text(encoding="utf-8")), style.name


def test_the_reference_has_every_command_option_and_field(site: Path) -> None:
    """They are made from the code; this holds the generator to it."""
    page = html.unescape((site / "reference" / "commands.html").read_text(encoding="utf-8"))
    for name, command in commands().items():
        assert f"dominoes {name}" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert any(flag in page for flag in option.opts), (name, option.opts)
    page = (site / "reference" / "spec.html").read_text(encoding="utf-8")
    for field in (*DominoSpec.model_fields, *TrainSpec.model_fields):
        assert f"<code>{field}</code>" in page


def test_formulas_are_mathml(site: Path) -> None:
    """A browser draws them without a script."""
    page = (site / "explanation" / "pattern-model.html").read_text(encoding="utf-8")
    assert page.count("<math") > 20
    assert "$<code>" not in page
    assert 'class="math"' not in page


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_the_screen(site: Path, width: int) -> None:
    """No page is wider than a phone or a desk's window, and none asks anything of a network when it is opened."""
    with chromium() as browser:
        page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in sorted(site.rglob("*.html")):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path.relative_to(site)
        assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
