"""`python -m pretrieve`."""

import os
import sys

if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109  # before any import
    # Python searches the working directory first, where a file `queue.py` would stand for its own module.
    sys.path.append(sys.path.pop(0))

from pretrieve.cli.app import main

main()
