"""An application of the tests, as a command: `service.py FOLDER VERB`, a real process with a pidfile.

It is started as carelessly as people do: in the background, with the outputs of the one who starts it.
FOLDER/how.json may say: {"start": "fails" | "foreground" | "dies" | "chatty", "start_after": seconds,
"stop": "fails_but_stops" | "hangs" | "nothing", "stop_after": seconds, "status": "hangs" | "crashes"}.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LIFE_SECONDS = 60  # should a test not end it


def main(folder: Path, verb: str) -> int:
    how = json.loads((folder / "how.json").read_text()) if (folder / "how.json").exists() else {}
    with (folder / "asked").open("a") as asked:
        if verb in ("start", "stop"):
            asked.write(f"{verb}\n")
    return {"start": start, "stop": stop, "status": status, "serve": serve}[verb](folder, how)


def start(folder: Path, how: dict) -> int:
    if how.get("start") == "fails":
        print("port 8080 is taken")
        return 7
    if how.get("start") == "foreground":
        return serve(folder, how)
    subprocess.Popen([sys.executable, "-I", "-S", __file__, str(folder), "serve"])
    return 0


def serve(folder: Path, how: dict) -> int:
    time.sleep(how.get("start_after", 0))
    if how.get("start") == "dies":  # before anybody can have found it running
        return 1
    (folder / "pid").write_text(str(os.getpid()))
    if how.get("stop_after"):
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(how["stop_after"]), sys.exit(0)))
    end = time.monotonic() + LIFE_SECONDS
    while time.monotonic() < end:
        if how.get("start") == "chatty":
            print("x" * 1_000_000, flush=True)
            (folder / "wrote").touch()
        time.sleep(0.05)
    return 0


def stop(folder: Path, how: dict) -> int:
    if how.get("stop") == "nothing":
        return 0
    if how.get("stop") == "hangs":
        time.sleep(LIFE_SECONDS)
    if runs(folder):
        os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    return 5 if how.get("stop") == "fails_but_stops" else 0


def status(folder: Path, how: dict) -> int:
    if how.get("status") == "hangs":
        time.sleep(LIFE_SECONDS)
    if how.get("status") == "crashes":
        raise RuntimeError("no such module: lb")
    return 0 if runs(folder) else 3


def runs(folder: Path) -> bool:
    try:
        pid = (folder / "pid").read_text()
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
