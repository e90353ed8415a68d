"""Specs: parsing, refusal, canonical JSON, run ids, named seeds."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dominoes.errors import SpecError
from dominoes.mappings import read_mapping
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, dump, parse, stream

shares = st.floats(0, 1)
specs = st.builds(
    DominoSpec,
    n=st.one_of(st.just("max"), st.integers(1, 10**6)),
    prevalence=st.tuples(st.none() | shares, st.none() | shares),
    both=st.none() | shares,
    ratio=st.none() | st.floats(0, 100),
    reliability=st.tuples(shares, shares),
    labels=st.sampled_from(["balanced", "stock"]),
    reuse=st.integers(1, 9),
    top=st.text(min_size=1),
    seed=st.integers(-5, 2**40),
)


@given(specs)
def test_yaml_gives_a_spec_back(tmp_path_factory: pytest.TempPathFactory, spec: DominoSpec) -> None:
    """Every spec survives a trip through its YAML file, floats to the last bit."""
    path = tmp_path_factory.getbasetemp() / "spec.yaml"
    path.write_text(dump(spec), encoding="utf-8")
    assert parse(DominoSpec, read_mapping(path)) == spec


@given(
    st.dictionaries(
        st.sampled_from([*DominoSpec.model_fields, "nn"]), st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.floats())
    )
)
def test_any_mapping_is_a_spec_or_one_sentence(values: dict[str, Any]) -> None:
    """Whatever a YAML file holds, parsing gives a spec or a SpecError of one line."""
    try:
        parse(DominoSpec, values)
    except SpecError as error:
        assert "\n" not in str(error)
        assert "got" in str(error) or "there is no field" in str(error)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 0}, "n: expected a whole number of at least 1, or max, got 0"),
        ({"n": -5}, "got -5"),
        ({"n": float("nan")}, "n: expected a whole number.*got nan"),
        ({"n": 2.5}, "got 2.5"),
        ({"n": "many"}, "got 'many'"),
        ({"n": True}, "got True"),
        ({"prevalence": (1.2, 0.5)}, "prevalence of the top half: expected less than or equal to 1, got 1.2"),
        ({"prevalence": (0.5, float("nan"))}, "prevalence of the bottom half: expected a finite number, got nan"),
        ({"prevalence": 0.5}, "prevalence: expected two numbers, TOP BOTTOM, got 0.5"),
        ({"prevalence": (0.5, True)}, "prevalence of the bottom half: expected a number, got True"),
        ({"reliability": (-0.1, 1)}, "reliability of the top half: expected greater than or equal to 0, got -0.1"),
        ({"ratio": float("inf")}, "ratio: expected a finite number, got inf"),
        ({"labels": "even"}, "labels: expected 'balanced' or 'stock', got 'even'"),
        ({"reuse": 0}, "reuse: expected greater than or equal to 1, got 0"),
        ({"prevalance": (1, 1)}, "there is no field prevalance; did you mean prevalence?"),
        ({"xyz": 1}, "there is no field xyz; the fields are n, prevalence"),
    ],
)
def test_wrong_fields_are_named_with_value_and_range(values: dict[str, Any], message: str) -> None:
    """A wrong field is refused with its name, what was expected and what was got."""
    with pytest.raises(SpecError, match=message):
        parse(DominoSpec, values)


def test_text_from_yaml_becomes_numbers() -> None:
    """YAML reads 1e-4 as text; the spec makes it the number that was meant."""
    assert parse(TrainSpec, {"lr": "1e-4", "epochs": "3"}) == TrainSpec(lr=1e-4, epochs=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: [1", "is not valid YAML"),
        ("- 1\n- 2", "expected fields with values"),
        ("n: 5\nn: 6", "the field n is given twice"),
        ("n: 010", "010 means 8 in YAML, expected a number without a leading 0 in line 1, column 4"),
        ("reuse: 1:30", "1:30 means 90 in YAML, expected a number without : in line 1, column 8"),
        ("1: 2", "expected fields with values"),
        ("n: 5\nseed: 1\n\treuse: 2", r"not valid YAML: found character '\\t' that cannot start any token in line 3, column 1$"),
        ("n: 5\n---\nn: 6", r"not valid YAML: but found another document in line 2, column 1$"),
        ("n: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        (f"n: {'[' * 2000}", "not valid YAML: it is nested too deeply$"),
        (f"n: 1{'0' * 5000}", "not valid YAML: Exceeds the limit .4300 digits. for integer string conversion: value has 5001 digits$"),
        ("name: caf\udce9", "not valid YAML: it is no text in UTF-8$"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    """A file that is no mapping of fields is refused with its name, and where that can be told with the line."""
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SpecError, match=f"s.yaml.*{message}"):
        read_mapping(tmp_path / "s.yaml")


def test_a_long_value_is_quoted_in_short() -> None:
    """What was got stands in the sentence, but not with hundreds of digits."""
    with pytest.raises(SpecError) as caught:
        parse(DominoSpec, {"reuse": "9" * 400})
    assert len(str(caught.value)) < 200


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A spec file that is not there is refused with its name."""
    with pytest.raises(SpecError, match=r"no\.yaml cannot be read \(No such file"):
        read_mapping(tmp_path / "no.yaml")


def test_run_id_is_the_same_everywhere_and_differs_by_field() -> None:
    """The id follows from the content alone (a known value), and any change of any field changes it."""
    base = RunSpec(dataset=DominoSpec(prevalence=(0.5, 0.5)), train=TrainSpec())
    assert base.id == "e4929b9033e5"
    assert RunSpec(dataset=base.dataset, train=TrainSpec(measurements=60)).id == "db3d3006f74f"
    others = [
        base.model_copy(update={"seed": 1}),
        base.model_copy(update={"train": TrainSpec(lr=0.02)}),
        base.model_copy(update={"dataset": DominoSpec(prevalence=(0.5, 0.5), reuse=2)}),
    ]
    assert len({base.id, *(other.id for other in others)}) == 4


def test_a_later_field_leaves_old_ids_as_they_are() -> None:
    """A field that came after the first results is part of the id only where it is not at its default, also in a nested spec."""

    class Later(TrainSpec):
        _later: ClassVar[frozenset[str]] = TrainSpec._later | {"extra"}
        extra: int = 3

    class LaterRun(RunSpec):
        train: Later

    run, before = LaterRun(dataset=DominoSpec(), train=Later()), RunSpec(dataset=DominoSpec(), train=TrainSpec())
    assert (run.train.id, run.id) == (before.train.id, before.id)
    changed = LaterRun(dataset=DominoSpec(), train=Later(extra=4))
    assert changed.id != run.id
    assert LaterRun.model_validate_json(changed.canonical()) == changed
    assert LaterRun.model_validate_json(run.canonical()) == run


def test_streams_differ_by_name_and_are_the_same_everywhere() -> None:
    """A seed gives a different, reproducible stream for each name (a known value)."""
    assert stream(0, "deal") == 843254853390238182
    assert len({stream(seed, name) for seed in range(50) for name in ("deal", "pairing", "init", "order")}) == 200
    assert stream(1, "1") != stream(11)
