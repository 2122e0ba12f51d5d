"""`python -m training`: from conversations to an adapter one can trust.

`python -m training safety …` is the crisis classifier's; see training/safety/cli.py.
"""

from __future__ import annotations

import sys

from training.cli import main
from training.safety.cli import main as safety

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(safety(words[1:]) if words[:1] == ["safety"] else main(words))
