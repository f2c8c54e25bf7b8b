"""CLAM with many branches: the checker of one branch reads their number from the weights."""

from tests.parity.clam_sb import outputs

__all__ = ["outputs"]
