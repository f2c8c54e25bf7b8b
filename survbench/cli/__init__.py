"""The command line, thin: parse, call, print; one module per group of commands."""

from survbench.cli.app import main

__all__ = ["main"]
