"""Writes tests/pinned_ids.json anew, after a change that is meant to break every key.

python tools/pin_ids.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("method", "protocol")


def main() -> int:
    """Pins the ids of every method and protocol of conf; returns 0."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_pinned_ids import method_ids, protocol_id

    file = ROOT / "tests" / "pinned_ids.json"
    known = json.loads(file.read_text())
    names = {g: sorted(p.stem for p in (ROOT / "conf" / g).glob("*.yaml")) for g in GROUPS}
    found = {
        "methods": {name: method_ids(name) for name in names["method"] if name != "from_folder"},
        "protocols": {name: protocol_id(name) for name in names["protocol"]},
    }
    file.write_text(json.dumps(known | found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
