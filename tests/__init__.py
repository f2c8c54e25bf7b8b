"""The test suite; mirrors the tree of the package."""
