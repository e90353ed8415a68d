"""Parts of sentences."""

from dominoes.errors import counted


def test_one_thing_is_not_told_in_the_plural() -> None:
    """The noun as it is for one alone, else with an s, or as it is given."""
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [counted(number, "domino", "dominoes") for number in (1, 300)] == ["1 domino", "300 dominoes"]
