"""The built-in theories: one class each behind `dominoes.leaderboard.protocol.Theory`."""
