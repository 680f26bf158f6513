"""A service or a door of the tests, as a command: `switch.py FOLDER NAME VERB`, on or off by a file, broken by others.

Files in FOLDER: NAME.on, NAME.VERB.{refused,ignored,hanging}, NAME.unknown; `asked` gets a line for every change.
"""

import sys
import time
from pathlib import Path


def main(folder: Path, name: str, verb: str) -> int:
    on = folder / f"{name}.on"
    if verb == "status":
        return 4 if (folder / f"{name}.unknown").exists() else 0 if on.exists() else 3
    with (folder / "asked").open("a") as asked:
        asked.write(f"{verb} {name}\n")
    if (folder / f"{name}.{verb}.hanging").exists():
        time.sleep(60)
    if (folder / f"{name}.{verb}.refused").exists():
        print(f"{name} will not {verb}")
        return 1
    if not (folder / f"{name}.{verb}.ignored").exists():
        on.touch() if verb in ("start", "open") else on.unlink(missing_ok=True)
    return 0


sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
