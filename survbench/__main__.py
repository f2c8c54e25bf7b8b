"""`python -m survbench` is the command `survbench`."""

import sys

from survbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
