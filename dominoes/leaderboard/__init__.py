"""Which theory predicts what a network learns: tasks on frozen curves, theories that forecast them, scores."""

from typing import TYPE_CHECKING

from dominoes import lazy

if TYPE_CHECKING:
    from dominoes.leaderboard.board import Board, score_theories
    from dominoes.leaderboard.edition import Edition
    from dominoes.leaderboard.entry import Entry, freeze
    from dominoes.leaderboard.protocol import Theory
    from dominoes.leaderboard.tasks import TASKS

__all__ = ["TASKS", "Board", "Edition", "Entry", "Theory", "freeze", "score_theories"]

__getattr__, __dir__ = lazy.names(
    __name__,
    {
        "TASKS": "leaderboard.tasks",
        "Board": "leaderboard.board",
        "Edition": "leaderboard.edition",
        "Entry": "leaderboard.entry",
        "Theory": "leaderboard.protocol",
        "freeze": "leaderboard.entry",
        "score_theories": "leaderboard.board",
    },
)
