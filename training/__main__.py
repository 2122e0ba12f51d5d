"""`python -m training safety`: see training/safety/cli.py."""

from __future__ import annotations

import sys

from training.safety.cli import main as safety

if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] != ["safety"]:
        sys.exit("usage: python -m training safety")
    sys.exit(safety(words[1:]))
