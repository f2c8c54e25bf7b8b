"""Committed leaderboards: predictions anyone can score again, and the boards made from them."""
