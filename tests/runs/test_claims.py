"""Claims: who holds a folder, and what becomes of one that is taken away meanwhile."""

from pathlib import Path

import pytest

from dominoes.runs import claims


def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives a folder back may remove it between another's making it and claiming it: that one makes it again."""
    folder = tmp_path / "lease"
    announce, removed = claims._announce, []

    def late(path: Path) -> None:
        if not removed:
            removed.append(path)
            path.parent.rmdir()
        announce(path)

    monkeypatch.setattr(claims, "_announce", late)
    with claims.claimed(folder):
        assert len(list(folder.iterdir())) == 1
    assert removed
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_held_is_busy(tmp_path: Path) -> None:
    """Its holder is named; once given back it is free."""
    with claims.claimed(tmp_path / "run"), pytest.raises(claims.Busy, match="is being run by process"), claims.claimed(tmp_path / "run"):
        pass
    with claims.claimed(tmp_path / "run"):
        pass
