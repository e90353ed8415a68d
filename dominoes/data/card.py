"""What a stranger reads in a dataset folder: the dataset card, and its description in Croissant (JSON-LD)."""

from __future__ import annotations

import json
import re
from typing import Any

from tabulate import tabulate

from dominoes import __version__
from dominoes.data import classes, instances
from dominoes.data.catalogue import TERMS
from dominoes.data.dealing import Dealt
from dominoes.dials import copies_differ, prototypes
from dominoes.solver.composition import Composition
from dominoes.spec import KINDS, SIDES, DominoSpec

# What Markdown, HTML in it, or a table in it would not take for plain text; names such as cifar10-gray.npz are left as they are.
_MARKUP = re.compile(r"[\\`*{}\[\]<>#!|~&$\n\r]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def parameters(found: Composition, form: str) -> str:
    """Requested against realised parameters as a table, in one of tabulate's forms."""
    asked, got = found.requested, found.realised
    rows = []
    for name in got:
        pairs = zip(SIDES, asked[name], got[name], strict=True) if isinstance(asked[name], list) else [("", asked[name], got[name])]
        rows += [(f"{name} {side}".strip(), _text(a), _text(b)) for side, a, b in pairs]
    return tabulate(rows, ("parameter", "requested", "realised"), tablefmt=form, disable_numparse=True, stralign="right")


def _text(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def readme(dealt: Dealt, digests: dict[str, Any]) -> str:
    """The dataset card."""
    spec, found = dealt.spec, dealt.composition
    kinds = tabulate([(kind, found.kinds[kind]) for kind in KINDS], headers=("kind", "dominoes"), tablefmt="pipe")
    rows = []
    for side in SIDES:
        name = getattr(spec, side)
        rows.append((side, _plain(name), found.right(side), found.wrong(side), digests["sources"][side]["sha256"][:12], _terms(name)))
    halves = tabulate(rows, headers=("side", "source", "right", "wrong", "SHA-256 of pictures", "terms"), tablefmt="pipe")
    above, below = SIDES[::-1] if spec.swap else SIDES
    named = {side: _plain(getattr(spec, side)) for side in SIDES}
    return f"""# {found.n} dominoes: {_plain(spec.described(above))} over {_plain(spec.described(below))}

A domino is a 3×64×32 picture: a {above} half from {named[above]} above a {below} half from {named[below]}, chosen by one of
{found.stock.classes} labels. A half may be blank (0 everywhere), and a half that is shown may be of another class than the label.
Made by dominoes {__version__}, {spec.split.value} split, seed {spec.seed}.
{_instance(spec, digests)}{_chosen(dealt)}{_simplicity(spec)}
{kinds}

{halves}

{parameters(found, "pipe")}

`metadata.csv` has a row for each domino: its label, its kind, and for each half the number of the picture in the source's
split (−1: blank) and the class it shows. There are no pixels here; `dominoes export` writes them, `dominoes train` composes
them on the device. `dominoes verify` compares this folder with the sources. Each picture is used at most {_times(spec.reuse)}.
"""


def _instance(spec: DominoSpec, digests: dict[str, Any]) -> str:
    """Which standard instance it is, and how it differs from what was published; empty if it is none."""
    found = instances.instance_of(spec)
    if found is None or found.rows != digests["metadata.csv"]:
        return ""
    differs = "\n".join(f"- {each}" for each in found.differs)
    return f"""
This is the standard instance `{found.name}`: {found.title}. After {found.source}.
Published: {found.published}. Published training, as far as it can be had: `dominoes train FOLDER {found.flags}`.

What differs, and why:

{differs}
"""


def _chosen(dealt: Dealt) -> str:
    """What the labels are where classes were chosen; empty where none were."""
    if all(classes.base(getattr(dealt.spec, side)) == getattr(dealt.spec, side) for side in SIDES):
        return ""
    labels = zip(range(dealt.composition.stock.classes), dealt.top.classes, dealt.bottom.classes, strict=True)
    table = tabulate(list(labels), ("label", "top shows", "bottom shows"), tablefmt="pipe", disable_numparse=True)
    return f"\n{table}\n\nPictures of other classes are not shown; pictures are numbered as in the whole split.\n"


def _plain(name: str) -> str:
    """A source's name, which may be any path, as text of Markdown that is no markup and keeps to its line and its cell of a table."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$-])", r"\\\1", " ".join(name.split())) if _MARKUP.search(name) else name


def _simplicity(spec: DominoSpec) -> str:
    """What was done to the pictures, and to the places of the halves; empty where nothing was."""
    said = []
    if spec.swap:
        said.append("The halves have changed places (`swap`): the half called top is the lower one.")
    for side in SIDES:
        if spec.transforms(side):
            done = ", ".join(f"`{text}`" for text in spec.transforms(side))
            said.append(
                f"The {side} half's pictures were transformed, in this order: {done}. Digests are those of the transformed pictures."
            )
        kept = prototypes(spec.transforms(side))
        if kept is not None:
            many = "picture" if kept == 1 else "pictures"
            own = copies_differ(spec.transforms(side))
            what = f"copies of {kept} {many}, each changed by itself" if own else f"{kept} distinct {many}"
            said.append(
                f"Each class of the {side} half shows {what}, repeated under all numbers of the "
                "class: that a picture is used once is said of its number. The test split repeats the same pictures, which are training "
                "pictures: this half is a look-up, and its test accuracy says how well it was learned by heart."
            )
    return "\n" + "\n".join(said) + "\n" if said else ""


def _terms(name: str) -> str:
    return TERMS.get(classes.base(name), "as the source's owner states")


def _times(reuse: int) -> str:
    return "once" if reuse == 1 else f"{reuse} times"


def _description(dealt: Dealt) -> str:
    above, below = (dealt.spec.described(side) for side in (SIDES[::-1] if dealt.spec.swap else SIDES))
    swapped = " The halves have changed places: the half called top is the lower one." if dealt.spec.swap else ""
    return f"{dealt.composition.n} dominoes: {above} over {below}, {dealt.spec.split.value} split.{swapped}"


def croissant(dealt: Dealt, digests: dict[str, Any]) -> str:
    """The folder in Croissant 1.0 (MLCommons), so that dataset search and loaders understand it."""
    fields = [
        ("index", "number of the domino", "sc:Integer"),
        ("label", "class of the domino", "sc:Integer"),
        ("kind", "which halves are shown: top, bottom, both or empty", "sc:Text"),
        ("top_index", "number of the top picture in its source's split, -1 where blank", "sc:Integer"),
        ("bottom_index", "number of the bottom picture in its source's split, -1 where blank", "sc:Integer"),
        ("top_label", "class that the top half shows, empty where blank", "sc:Text"),
        ("bottom_label", "class that the bottom half shows, empty where blank", "sc:Text"),
    ]
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": re.sub(r"[/\[\],+]", "-", f"dominoes-{dealt.spec.top}-{dealt.spec.bottom}"),
        "description": _description(dealt),
        "version": "1.0.0",
        "license": "; ".join(sorted({_terms(getattr(dealt.spec, side)) for side in SIDES})),
        "citeAs": "Shah et al. 2020, The Pitfalls of Simplicity Bias in Neural Networks, arXiv:2006.07710",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "metadata.csv",
                "name": "metadata.csv",
                "contentUrl": "metadata.csv",
                "encodingFormat": "text/csv",
                "sha256": digests["metadata.csv"],
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "dominoes",
                "name": "dominoes",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"dominoes/{name}",
                        "name": name,
                        "description": description,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": "metadata.csv"}, "extract": {"column": name}},
                    }
                    for name, description, kind in fields
                ],
            }
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
