"""Published numbers and measured submissions; show them with `survbench leaderboard`."""
