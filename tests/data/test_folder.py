"""The dataset folder: byte-identical, read back, and every change found."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dominoes.data import folder
from dominoes.data.dealing import Dealt, deal_spec
from dominoes.errors import DatasetError, OutputError, SourceError
from dominoes.spec import DominoSpec

COLUMNS = b"index,label,kind,top_index,bottom_index,top_label,bottom_label\n"


@pytest.fixture
def built(small: Dealt, tmp_path: Path) -> Path:
    """A dataset folder of the small deal."""
    folder.save_dataset(small, tmp_path / "set")
    return tmp_path / "set"


def test_a_folder_has_the_agreed_files_and_no_pixels(built: Path) -> None:
    """spec.yaml, composition.json, metadata.csv, digests.json, README.md, croissant.json, and nothing else."""
    assert sorted(file.name for file in built.iterdir()) == [
        "README.md",
        "composition.json",
        "croissant.json",
        "digests.json",
        "metadata.csv",
        "spec.yaml",
    ]
    lines = (built / "metadata.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "index,label,kind,top_index,bottom_index,top_label,bottom_label"
    assert len(lines) == 301
    blank = next(line for line in lines if ",empty," in line)
    assert blank.endswith(",empty,-1,-1,,")


def test_the_same_spec_gives_the_same_bytes(built: Path, small: Dealt, tmp_path: Path) -> None:
    """Building again from the spec alone gives byte-identical files."""
    folder.save_dataset(deal_spec(small.spec), tmp_path / "again")
    for file in built.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_a_folder_reads_back(built: Path, small: Dealt) -> None:
    """Spec, counts and rows come back as they were."""
    back = folder.read_dataset(built)
    assert back.spec == small.spec
    assert back.composition.dumps() == small.composition.dumps()
    for side in ("top", "bottom"):
        assert np.array_equal(back.deal.index[side], small.deal.index[side])
        assert np.array_equal(back.deal.shown[side], small.deal.shown[side])
    assert folder.verify_dataset(built) == []


def edit(path: Path, line: int, column: int, value: str) -> str:
    """Change one field of a CSV file (line 1 is the first after the header); returns the old line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = lines[line].split(",")
    parts[column] = value
    old, lines[line] = lines[line], ",".join(parts)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return old


def test_a_flipped_label_is_found(built: Path) -> None:
    """Another label in one row is found by the digest, by the counts and by the row."""
    old = int((built / "metadata.csv").read_text(encoding="utf-8").splitlines()[8].split(",")[1])
    edit(built / "metadata.csv", 8, 1, str((old + 1) % 10))
    found = folder.verify_dataset(built)
    assert any("SHA-256" in line for line in found)
    assert any(line.startswith("metadata.csv, row 7: label") for line in found)
    with pytest.raises(DatasetError, match=r"metadata.csv is not what was built .*'dominoes verify' says where"):
        folder.read_dataset(built)


def test_a_swapped_index_is_found(built: Path, small: Dealt) -> None:
    """A picture exchanged for another, of the same class or not, is found with its row."""
    rows = np.flatnonzero(small.deal.index["top"] >= 0)
    same = next(row for row in rows[1:] if small.deal.shown["top"][row] == small.deal.shown["top"][rows[0]])
    edit(built / "metadata.csv", int(same) + 1, 3, str(small.deal.index["top"][rows[0]]))
    assert any(line.startswith(f"metadata.csv, row {same}: top_index") for line in folder.verify_dataset(built))
    other = next(row for row in rows if small.deal.shown["top"][row] != small.deal.shown["top"][rows[0]])
    edit(built / "metadata.csv", int(other) + 1, 3, str(small.deal.index["top"][rows[0]]))
    assert any(f"row {other}: top_label" in line and "of digits shows" in line for line in folder.verify_dataset(built))


def test_a_missing_row_is_found(built: Path) -> None:
    """A row that was removed is found."""
    path = built / "metadata.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    assert any("299 rows, composition.json has n = 300" in line for line in folder.verify_dataset(built))


def test_changed_counts_are_found(built: Path) -> None:
    """A count of composition.json that was changed is found, and so is a sum that does not follow from the counts."""
    path = built / "composition.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["states"]["right/right"][3] += 1
    path.write_text(json.dumps(values), encoding="utf-8")
    assert any(line.startswith("composition.json:") for line in folder.verify_dataset(built))
    values["states"]["right/right"][3] -= 1
    values["kinds"]["both"] += 1
    path.write_text(json.dumps(values), encoding="utf-8")
    assert folder.verify_dataset(built) == [
        "composition.json: its SHA-256 differs from the one in digests.json",
        "composition.json: its sums do not follow from its states",
    ]


def test_a_changed_spec_is_found(built: Path) -> None:
    """A spec.yaml that asks for something else, or for nothing that can be solved, is a difference that names the file."""
    (built / "spec.yaml").write_text("n: 300\ntop: digits\nbottom: textures\n", encoding="utf-8")
    found = folder.verify_dataset(built)
    assert found[0] == "spec.yaml: its SHA-256 differs from the one in digests.json"
    assert found[-1].startswith("spec.yaml: too few of prevalence")


def test_other_source_pixels_are_found(tmp_path: Path) -> None:
    """A single changed pixel of a source is found by verifying, and the folder is not used with it."""
    x, y = np.zeros((40, 32, 32), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    folder.save_dataset(
        deal_spec(DominoSpec(n=20, prevalence=(1, 0.5), top=str(tmp_path / "a.npz"), bottom=str(tmp_path / "a.npz"))), tmp_path / "set"
    )
    assert folder.verify_dataset(tmp_path / "set") == []
    x[17, 3, 3] = 1
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    assert any("are not those the dataset was built from" in line for line in folder.verify_dataset(tmp_path / "set"))
    with pytest.raises(DatasetError, match="are not those .* was built from; pass the right --data"):
        folder.read_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("digests.json", '{"format": 2}', "has format 2, dominoes .* reads up to 1; install a newer dominoes"),
        ("digests.json", "{", "digests.json is damaged"),
        ("digests.json", '{"format": 1}', "digests.json is damaged"),
        ("digests.json", None, "is not a dataset folder, digests.json is missing"),
        ("spec.yaml", None, "spec.yaml is missing"),
        ("metadata.csv", None, "metadata.csv is missing"),
    ],
)
def test_broken_folders_are_named(built: Path, name: str, content: str | None, message: str) -> None:
    """A folder that is unfinished, damaged or of a newer format is refused with what to do."""
    if content is None:
        (built / name).unlink()
    else:
        (built / name).write_text(content, encoding="utf-8")
    for use in (folder.read_dataset, folder.verify_dataset):
        with pytest.raises(DatasetError, match=message):
            use(built)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "a,b\n", "has other columns than index,label"),
        ("metadata.csv", "index,label,kind,top_index,bottom_index,top_label,bottom_label\n0,x,top,1,-1,3,\n", "line 2: invalid literal"),
        (
            "metadata.csv",
            "index,label,kind,top_index,bottom_index,top_label,bottom_label\n0,3,both,1,-1,3,\n",
            "line 2: kind both, but top is shown",
        ),
        ("metadata.csv", "index,label,kind,top_index,bottom_index,top_label,bottom_label\n0,3,top\n", "line 2: 3 values instead of 7"),
        ("composition.json", "{}", "lacks or garbles 'states'"),
        ("composition.json", "{", "composition.json is damaged"),
    ],
)
def test_damage_inside_is_a_difference(built: Path, name: str, content: str, message: str) -> None:
    """Verifying a folder whose tables cannot be read says so among the differences."""
    (built / name).write_text(content, encoding="utf-8")
    assert any(message in line for line in folder.verify_dataset(built))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("spec.yaml", "0.7", "0.2"),
        ("README.md", "300 dominoes", "301 dominoes"),
        ("croissant.json", "sc:Dataset", "sc:Thing"),
        ("digests.json", '"pictures": 1442', '"pictures": 1443'),
    ],
)
def test_every_file_is_verified(built: Path, name: str, old: str, new: str) -> None:
    """A change of any file of the folder is found, and a spec that does not fit the rows is not trained on."""
    text = (built / name).read_text(encoding="utf-8")
    assert old in text
    (built / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert folder.verify_dataset(built)
    if name == "spec.yaml":
        with pytest.raises(DatasetError, match=r"spec.yaml is not what was built"):
            folder.read_dataset(built)


def test_an_index_out_of_sequence_is_named(built: Path) -> None:
    """A row that is doubled is found with its line."""
    lines = (built / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (built / "metadata.csv").write_text("\n".join([*lines[:5], lines[4], *lines[5:]]) + "\n", encoding="utf-8")
    assert any("line 6: index 3, expected 4; a row is missing, doubled or moved" in line for line in folder.verify_dataset(built))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"\xff\xfe", "is no text in UTF-8"),
        ("metadata.csv", COLUMNS + b"0,1234567890123456789012345,empty,-1,-1,,\n", "holds a number beyond 64 bits"),
        ("composition.json", b'{"n": 1e400}', "lacks or garbles"),
    ],
)
def test_strange_bytes_are_a_difference(built: Path, name: str, content: bytes, message: str) -> None:
    """What no editor would write is a difference too, not a crash."""
    (built / name).write_bytes(content)
    assert any(message in line for line in folder.verify_dataset(built))


def test_shapes_that_do_not_fit_are_a_difference(built: Path) -> None:
    """A composition with a class too many, or a table too small, is said to be garbled."""
    values = json.loads((built / "composition.json").read_text(encoding="utf-8"))
    values["shown"]["top"] = [[1]]
    (built / "composition.json").write_text(json.dumps(values), encoding="utf-8")
    assert any("lacks or garbles counts of 10 classes" in line for line in folder.verify_dataset(built))


def test_no_folder_at_all_is_named(tmp_path: Path) -> None:
    """A path that is no folder is refused with the command that makes one."""
    with pytest.raises(DatasetError, match="is not a folder; expected a dataset folder made by 'dominoes build'"):
        folder.read_dataset(tmp_path / "nowhere")


def test_building_over_a_dataset_needs_force(built: Path, small: Dealt, tmp_path: Path) -> None:
    """An existing dataset is kept unless force is said, and a folder of other things is kept even then."""
    with pytest.raises(OutputError, match="is not empty"):
        folder.save_dataset(small, built)
    folder.save_dataset(deal_spec(small.spec.model_copy(update={"n": 100})), built, force=True)
    assert len(folder.read_dataset(built).deal) == 100
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds files of another kind \(no digests.json in it\)"):
        folder.save_dataset(small, tmp_path / "home", force=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


@pytest.mark.data
def test_real_pictures_build_and_verify(data: Path, tmp_path: Path) -> None:
    """50,000 dominoes of MNIST over CIFAR-10 are dealt from real pictures and every digest and count holds."""
    folder.save_dataset(deal_spec(DominoSpec(n=50000, prevalence=(0.65, 0.65), reliability=(0.9, 0.8)), data=data), tmp_path / "set")
    assert folder.verify_dataset(tmp_path / "set", data=data) == []
    with pytest.raises(SourceError, match="no train pictures of mnist"):
        folder.verify_dataset(tmp_path / "set", data=tmp_path)
    shutil.rmtree(tmp_path / "set")
