"""What the site adds to the pages: tables and lists that follow from the code, formulas as MathML, and files that lie outside of docs/.

Links between documents are written as they hold in the repository (`../../results/x.png`); what lies outside of docs/ is brought into the
site under its own path, and links to it are turned accordingly.
"""

from __future__ import annotations

import html
import importlib
import json
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import griffe
import yaml
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)]*)?(\))")
_TABLE = re.compile(r"^<!-- table: (\w+)(?: (\S+))? -->$", re.MULTILINE)
_INLINE = re.compile(r"\$<code>(.*?)</code>\$", re.DOTALL)
_BLOCK = re.compile(r'<pre class="math"><code>(.*?)</code></pre>', re.DOTALL)


def outside() -> Iterator[Path]:
    """Files of the repository that the site shows beside docs/: the changes, the studies worth keeping, sweep files, examples."""
    yield from (ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"))
    yield from sorted((ROOT / "results").glob("*.*"))
    for readme in sorted([*(ROOT / "results").glob("*/README.md"), *(ROOT / "results" / "studies").glob("*/README.md")]):
        # Beside runs, which are many and not for reading; a study without a README is not kept.
        yield from sorted(path for path in readme.parent.iterdir() if path.is_file())
    yield from sorted((ROOT / "sweeps").rglob("*.yaml"))
    yield ROOT / "examples" / "README.md"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Bring what lies outside of docs/ into the site."""
    for path in outside():
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        files.append(File.generated(config, f"examples/{path.stem}.md", content=notebook(path)))
    config.nav = _expanded(config.nav, files)
    return files


def notebook(path: Path) -> str:
    """An executed notebook as a page: text, code, and what it printed or drew."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(f"![What the code above draws](data:image/png;base64,{''.join(data['image/png']).replace(chr(10), '')})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))):
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


def _expanded(nav: Any, files: Files) -> Any:
    """The navigation with `FOLDER/*` written out, and without pages that are not there (yet)."""
    pages = {file.src_uri for file in files.documentation_pages()}
    named = set(_names(nav))

    def walk(entry: Any) -> list[Any]:
        if isinstance(entry, dict):
            ((title, below),) = entry.items()
            return [entry if isinstance(below, str) else {title: [each for item in below for each in walk(item)]}]
        if entry.endswith("/*"):
            return sorted(page for page in pages - named if page.startswith(entry[:-1]))
        return [entry] if entry in pages else []

    return [each for item in nav for each in walk(item)]


def _names(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _names(below)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that leave docs/ and write tables that follow from the code."""
    here = PurePosixPath(page.file.src_uri).parent

    def turned(match: re.Match[str]) -> str:
        opening, target, anchor, closing = match.groups()
        if "://" in target or target.startswith(("mailto:", "data:", "/")):
            return match.group()
        # Notebooks are pages of the site.
        target = re.sub(r"(examples/|^)([\w-]+)\.ipynb$", r"\1\2.md", target)
        inside = os.path.normpath(here / target)
        # From docs/a/b.md, ../../results is outside of docs/; in the site it is beside a/.
        if inside.startswith("../"):
            inside = inside.removeprefix("../")
            target = os.path.relpath(inside, here)
        elif inside.startswith("docs/"):
            target = os.path.relpath(inside.removeprefix("docs/"), here)
        return f"{opening}{target}{anchor or ''}{closing}"

    markdown = _TABLE.sub(lambda match: TABLES[match.group(1)](match.group(2)), markdown)
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in parts)


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas, written as GitHub takes them ($`x`$ in a line, a block ```math), become MathML, which browsers draw by themselves."""
    # Lines that a command's help aligns by hand.
    content = re.sub(r"<p>(\w+ +-&gt;.*?)</p>", r"<pre><code>\1</code></pre>", content, flags=re.DOTALL)
    content = _INLINE.sub(lambda match: convert(html.unescape(match.group(1))), content)
    return _BLOCK.sub(lambda match: convert(html.unescape(match.group(1)).strip(), display="block"), content)


def spec_fields(name: str) -> str:
    """The fields of one spec: values, default, and the meaning from the class's docstring."""
    from dominoes import spec

    form = getattr(spec, name)
    meanings = described(form)
    rows = []
    if missing := {*form.model_fields} - {*meanings}:
        raise PluginError(f"{name}: the section Attributes of its docstring lacks {', '.join(sorted(missing))}")
    for field, about in form.model_fields.items():
        meaning = meanings[field].replace("|", "\\|")
        rows.append(f"| `{field}` | {_values(about.annotation, about.metadata)} | `{_plain(about.default)}` | {meaning} |")
    return "\n".join(["| field | values | default | meaning |", "|---|---|---|---|", *rows])


def described(form: type) -> dict[str, str]:
    """The section `Attributes` of a class's docstring, by name."""
    docstring = griffe.Docstring(form.__doc__ or "", parent=griffe.Class(form.__name__))
    found = {}
    for section in docstring.parse("google", warnings=False):
        if section.kind is griffe.DocstringSectionKind.attributes:
            # Several attributes may share a line.
            found |= {name: " ".join(each.description.split()) for each in section.value for name in each.name.split(", ")}
    return found


def _plain(value: object) -> str:
    """A default, as one writes it in YAML or on the command line."""
    if isinstance(value, tuple):
        return " ".join(dict.fromkeys(map(_plain, value)) if {*value} <= {None} else map(_plain, value)) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _values(form: Any, metadata: Iterable[Any] = ()) -> str:
    """The values that an annotation allows, for a person: `number ≥ 0, ≤ 1`."""
    origin, inner = typing.get_origin(form), typing.get_args(form)
    if origin is typing.Annotated:
        return _values(inner[0], [*inner[1:], *metadata])
    if origin is tuple:
        return f"list of {_values(inner[0])}" if inner[-1] is Ellipsis else f"{len(inner)} × {_values(inner[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_values(each, metadata) for each in inner if each is not type(None))
    if isinstance(form, type) and issubclass(form, Enum):
        return ", ".join(f"`{each.value}`" for each in form)
    limits = [limit for each in metadata for limit in (each.metadata if isinstance(each, FieldInfo) else [each])]
    bounds = [f"{sign} {getattr(each, key):,g}" for each in limits for key, sign in _SIGNS.items() if hasattr(each, key)]
    return " ".join([_WORDS.get(form, "text"), ", ".join(bounds)]).strip()


def columns(name: str) -> str:
    """The columns of the table `module:NAME`, in its order, with their meanings. Raises PluginError where the two do not agree."""
    module, _, attribute = name.partition(":")
    names = getattr(importlib.import_module(module), attribute)
    meanings = yaml.safe_load((ROOT / "docs" / "reference" / "columns.yaml").read_text(encoding="utf-8"))[name]
    if {*names} != {*meanings}:
        raise PluginError(f"docs/reference/columns.yaml, {name}: differs from the table in {', '.join(sorted({*names} ^ {*meanings}))}")
    return "\n".join(["| column | meaning |", "|---|---|", *(f"| `{column}` | {meanings[column]} |" for column in names)])


def settings(name: str) -> str:
    """The fields of the dataclass `module:NAME`: default, and the meaning from its docstring."""
    module, _, attribute = name.partition(":")
    form = getattr(importlib.import_module(module), attribute)
    rows = [f"| `{each}` | {_plain(getattr(form(), each))} | {meaning} |" for each, meaning in described(form).items()]
    return "\n".join(["| name | default | meaning |", "|---|---|---|", *rows])


def dial_ranges(_: str | None) -> str:
    """Each dial and the values it takes."""
    from dominoes import dials

    return "\n".join(["| dial | value |", "|---|---|", *(f"| `{name}` | {dials.Dial(name, 0).range.words} |" for name in dials.DIAL_NAMES)])


def face(package: str) -> str:
    """The public names of a package, each for mkdocstrings to document; those of `dominoes` itself only there."""
    import dominoes

    known = {"__version__"} | (set() if package == "dominoes" else {*dominoes.__all__})
    names = [name for name in importlib.import_module(package).__all__ if name not in known]
    return "\n\n".join(f"::: {package}.{name}" for name in names)


def pages(folder: str) -> str:
    """The pages of a folder of docs/, by their titles."""
    found = []
    for path in sorted((ROOT / "docs" / folder).glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        found += [f"- [{title}]({path.name})"] if path.name != "index.md" else []
    return "\n".join(found)


TABLES = {"pages": pages, "settings": settings, "face": face, "fields": spec_fields, "columns": columns, "dials": dial_ranges}
