"""All that the platform promises of a search, measured in one run.

    python benchmarks/search.py

Runs `study_time.py`, `search_scale.py` and `search_strategies.py` one after the other, each in a process of its own,
so that none is charged for what another left in memory. What each prints, and its goals, are told in its own words.
Nothing else may run beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = ("study_time.py", "search_scale.py", "search_strategies.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    codes = []
    for part in PARTS:
        print(f"== {part}", flush=True)
        codes.append(subprocess.run([sys.executable, str(Path(__file__).with_name(part))], check=False).returncode)
    for part, code in zip(PARTS, codes, strict=True):
        if code:
            print(f"{part} ended with exit code {code}: its figures are missing or not whole", file=sys.stderr)
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
