"""The dataset card and its Croissant description."""

import json
import re
from pathlib import Path

import numpy as np

from dominoes.data import dealing, folder
from dominoes.data.dealing import Dealt
from dominoes.spec import DominoSpec


def test_croissant_is_valid_and_its_records_are_the_rows(small: Dealt, tmp_path: Path, recwarn: object) -> None:
    """MLCommons' own reader accepts the description and reads the rows of metadata.csv through it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        folder.save_dataset(small, tmp_path / "set")
        described = mlcroissant.Dataset(jsonld=str(tmp_path / "set" / "croissant.json"))
        assert not described.metadata.ctx.issues.errors
        records = list(described.records(record_set="dominoes"))
    assert [int(record["dominoes/label"]) for record in records] == small.deal.label.tolist()
    assert [int(record["dominoes/top_index"]) for record in records] == small.deal.index["top"].tolist()


def test_the_card_says_what_was_asked_and_what_became_of_it(small: Dealt, tmp_path: Path) -> None:
    """Counts, requested and realised parameters and digests stand in README.md."""
    folder.save_dataset(small, tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    digests = json.loads((tmp_path / "set" / "digests.json").read_text(encoding="utf-8"))
    assert text.startswith("# 300 dominoes: digits over textures")
    for kind, count in small.composition.kinds.items():
        assert f"| {kind}" in text
        assert str(count) in text
    assert digests["sources"]["top"]["sha256"][:12] in text
    assert re.search(r"\| +reliability top +\| +0\.8 +\| +0\.8", text)


def test_what_was_done_to_the_pictures_is_recorded_everywhere(tmp_path: Path) -> None:
    """Transforms and swap stand in the card, its description, the digests, the request and the spec; the folder verifies."""
    spec = DominoSpec(n=60, prevalence=(0.5, 0.5), top="digits", bottom="textures", top_transform=("prototypes=2", "noise=0.5"), swap=True)
    folder.save_dataset(dealing.deal_spec(spec), tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# 60 dominoes: textures over digits (prototypes=2 noise=0.5)")
    assert "a bottom half from textures above a top half from digits" in text
    assert "The top half's pictures were transformed, in this order: `prototypes=2`, `noise=0.5`" in text
    assert "shows copies of 2 pictures, each changed by itself, repeated under all numbers" in text
    before = spec.model_copy(update={"top_transform": ("noise=0.5", "prototypes=1")})
    folder.save_dataset(dealing.deal_spec(before), tmp_path / "before")
    assert "shows 1 distinct picture, repeated" in (tmp_path / "before" / "README.md").read_text(encoding="utf-8")
    assert "the half called top is the lower one" in text
    assert "textures over digits (prototypes=2 noise=0.5)" in (tmp_path / "set" / "croissant.json").read_text(encoding="utf-8")
    digests = json.loads((tmp_path / "set" / "digests.json").read_text(encoding="utf-8"))
    assert digests["sources"]["top"]["transforms"] == ["prototypes=2", "noise=0.5"]
    assert "transforms" not in digests["sources"]["bottom"]
    requested = json.loads((tmp_path / "set" / "composition.json").read_text(encoding="utf-8"))["requested"]
    assert requested["top_transform"] == ["prototypes=2", "noise=0.5"]
    assert requested["swap"] is True
    assert "bottom_transform" not in requested
    assert folder.verify_dataset(tmp_path / "set") == []
    assert folder.read_dataset(tmp_path / "set").spec == spec


def test_a_path_with_markup_is_plain_text(tmp_path: Path) -> None:
    """A source's path may hold whatever a file system allows: in the card it is text, in its line, in its cell, and no tag or link."""
    name = "a|b <img src=x> [c](d) `e` *f* _g_ ~h~\n# i"
    place = tmp_path / name
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (40, 32, 32), dtype=np.uint8), np.arange(40) % 2
    place.mkdir()
    np.savez(place / "s.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(tmp_path / "plain_name-2.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    spec = DominoSpec(n=20, prevalence=(0.5, 0.5), top=str(place / "s.npz"), bottom=str(tmp_path / "plain_name-2.npz"))
    folder.save_dataset(dealing.deal_spec(spec), tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    plain = text.replace("`metadata.csv`", "").replace("`dominoes", "")
    assert not re.search(r"(?<!\\)<img|(?<!\\)\[c|(?<!\\)`e|(?<!\\)\*f|^# i", plain, re.MULTILINE)
    assert str(tmp_path / "plain_name-2.npz") in text
    rows = [line for line in text.splitlines() if line.startswith("| top ")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3, 7]
    assert folder.verify_dataset(tmp_path / "set") == []
