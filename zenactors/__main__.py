"""`python -m zenactors`: the command line."""

import sys

from zenactors.cli import main

if __name__ == "__main__":
    sys.exit(main())
