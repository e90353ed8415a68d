"""What editions are made of: results folders and exported tables, each with its number of classes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic_runs
from click.testing import CliRunner, Result

from dominoes.cli.commands import main
from dominoes.folded import CLASSES_COUNT
from dominoes.leaderboard import collecting
from dominoes.leaderboard.edition import read_edition
from dominoes.runs import parameters
from dominoes.studies import keeping
from dominoes.tables import write_table


def call(*arguments: object, code: int = 0) -> Result:
    """The command line."""
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep with two classes."""
    out = tmp_path_factory.mktemp("two")
    of_two = [
        each.model_copy(update={"dataset": each.dataset.model_copy(update={"n": 300, "top": "digits[0,1]", "bottom": "textures[0,1]"})})
        for each in synthetic_runs.sweep([0.2, 0.5], 2, measurements=8)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_runs, "K", 2)
        synthetic_runs.write(of_two, out)
    return out


def folder(two: Path, place: Path) -> Path:
    """The results themselves."""
    return two


def exported(two: Path, place: Path) -> Path:
    """A table, with that by class beside it."""
    return written(two, place / "curves.csv", "classes").parent


def renamed(two: Path, place: Path) -> Path:
    """As Parquet and under another name."""
    return written(two, place / "mine.parquet", "classes")


def kept(two: Path, place: Path) -> Path:
    """As a study is kept, with a row a curve."""
    place.mkdir()
    keeping.save_curves(parameters.read_tables(two).table("curves"), place / "curves.parquet", 2)
    return place


def written(two: Path, path: Path, *beside: str) -> Path:
    """The runs' curves as a table, others beside it."""
    path.parent.mkdir(exist_ok=True)
    read = parameters.read_tables(two, ("curves", *beside))
    write_table(read.table("curves"), path)
    for form in beside:
        write_table(read.table(form), path.with_name(f"{form}{path.suffix}"), form=form)
    return path


@pytest.mark.parametrize("form", [folder, exported, renamed, kept])
def test_an_edition_has_the_classes_of_its_runs(form: Callable[[Path, Path], Path], two: Path, tmp_path: Path) -> None:
    """Two of them, without being told, from a results folder, an export with its table by class, or a kept study."""
    results = form(two, tmp_path / "results")
    assert collecting.study_curves(results).attrs[CLASSES_COUNT] == 2
    call("leaderboard", "edition", results, "--out", tmp_path / "edition")
    assert read_edition(tmp_path / "edition").classes == 2


def test_a_table_alone_has_to_be_told(two: Path, tmp_path: Path) -> None:
    """The sentence says which option does that; nothing is written."""
    alone = written(two, tmp_path / "curves.csv")
    said = call("leaderboard", "edition", alone, "--out", tmp_path / "edition", code=2).output
    assert "expected 1/K = 0.1, since an empty domino can only be guessed; nothing says the number of classes K, and 10 was taken" in said
    assert "pass --classes if it is another" in said
    assert not (tmp_path / "edition").exists()
    call("leaderboard", "edition", alone, "--classes", "2", "--out", tmp_path / "edition")
    assert read_edition(tmp_path / "edition").classes == 2


def test_runs_with_different_numbers_of_classes_make_no_edition(two: Path, swept: Path, tmp_path: Path) -> None:
    """An edition has one."""
    for place in (two, swept):
        shutil.copytree(place / "runs", tmp_path / "mixed" / "runs", dirs_exist_ok=True)
    said = call("leaderboard", "edition", tmp_path / "mixed", "--out", tmp_path / "edition", code=2).output
    assert "mixed has runs with different numbers of classes (2, 10); expected one number for all of an edition" in said
