"""The skeleton of a new method: files that run, are tested and keep every promise at once."""

from survbench.scaffold.skeleton import Skeleton, checkout, new_method

__all__ = ["Skeleton", "checkout", "new_method"]
