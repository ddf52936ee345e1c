"""The figures of the page docs/performance.md: runs what makes them, one after the other.

python bench/figures.py [FOLDER]

Writes forward.json, derivatives.json, training.json and together.json, by default into
docs/figures, of which the page is made when the documentation is built. It takes some 20 minutes,
in which nothing else should run; it needs what bench/peers.py needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORTS = {
    "forward": ("peers.py", "--batches", "1", "64", "1024", "--rounds", "5", "--seconds", "0.05"),
    "derivatives": ("derivatives.py", "--chains"),
    "training": ("peers.py", "--training", "--rounds", "5", "--seconds", "0.1"),
    "together": ("peers.py", "--together", "--batches", "1", "64", "--seconds", "0.05"),
}


def main() -> int:
    """Run all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "figures"
    for name, (script, *options) in REPORTS.items():
        target = folder / f"{name}.json"
        command = [sys.executable, str(HERE / script), *options, "--json", str(target)]
        subprocess.run(command, check=True)
        # In one line, as nobody reads the file but the page.
        target.write_text(json.dumps(json.loads(target.read_text())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
