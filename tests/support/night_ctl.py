"""The systems of a small night, as commands: `ctl.py VERB WHAT [VERSION]`. Their state, and what is asked of them, is in files.

VERB: start, stop, status (services), open, close, status (the door), health, smoke. Each line of witness.jsonl is one command
that was to change something, and the process that gave it. knobs/"VERB WHAT VERSION.json" makes the next such command
misbehave, once: {"skip": calls that go well before it, "pause": "before" | "after" (its effect), "seconds": of the pause,
"exit": code, "nothing": true (no effect), "always": true (not only once)}.

night_ctl.sh is asked first, and does the same where no knob is turned.
"""

import os
import sys
import time

HOME = os.path.dirname(os.path.abspath(__file__))
YES, NO = 0, 3
LONGEST_PAUSE_SECONDS = 60  # should nobody end it
CHANGES = {"start": True, "stop": False, "open": True, "close": False}


def main(verb: str, what: str, version: str = "") -> int:
    how = _knob(" ".join(filter(None, (verb, what, version))))
    if verb in CHANGES:
        return _change(verb, what, version, how)
    _pause(how)
    if how.get("exit") is not None:
        return how["exit"]
    return {"status": _status, "health": _health, "smoke": _smoke}[verb](what, version)


def _change(verb: str, what: str, version: str, how: dict) -> int:
    _testify(verb, what, version)
    _pause(how if how.get("pause") == "before" else {})
    if not how.get("nothing"):
        (_turn_on if CHANGES[verb] else _turn_off)(_switch(what, version))
    _pause(how if how.get("pause") == "after" else {})
    return how.get("exit") or 0


def _testify(verb: str, what: str, version: str) -> None:
    """As JSON, by hand: they are plain words."""
    line = f'{{"at": {time.time()!r}, "verb": "{verb}", "what": "{what}", "version": "{version}", "by": {os.getppid()}}}\n'
    with open(os.path.join(HOME, "witness.jsonl"), "a") as witness:
        witness.write(line)


def _turn_on(switch: str) -> None:
    open(switch, "a").close()


def _turn_off(switch: str) -> None:
    if os.path.exists(switch):
        os.unlink(switch)


def _status(what: str, version: str) -> int:
    return YES if os.path.exists(_switch(what, version)) else NO


def _health(what: str, version: str) -> int:
    """The door is open, and one version of each service runs."""
    running = [[_status(service, version) == YES for version in ("old", "new")] for service in ("worker", "api")]
    return 0 if _status("door", "") == YES and all(sum(each) == 1 for each in running) else 1


def _smoke(what: str, version: str) -> int:
    return _status(what, version)


def _switch(what: str, version: str) -> str:
    return os.path.join(HOME, "systems", f"{what}.{version or 'door'}")


def _pause(how: dict) -> None:
    end = time.monotonic() + (how.get("seconds", LONGEST_PAUSE_SECONDS) if how.get("pause") else 0)
    while time.monotonic() < end:
        time.sleep(0.05)


def _knob(name: str) -> dict:
    """Taken by the one command that turns it."""
    file = os.path.join(HOME, "knobs", f"{name}.json")
    if not os.path.exists(file):
        return {}
    import json

    with open(file) as turned:
        how = json.load(turned)
    if how.get("skip"):
        with open(file, "w") as turned:
            json.dump({**how, "skip": how["skip"] - 1}, turned)
        return {}
    if not how.get("always"):
        os.unlink(file)
    return how


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
