"""A restore that has begun and is not finished, and what it has kept of the stream before it deleted that.

Found: said again after a kill, it saw the run's own events in the stream and called the journal whole. The other runs of the
stream were never put back, nor what the stream alone had had: both lay in a file that nobody read.
"""

from __future__ import annotations

import json
from pathlib import Path

from cutoverd.daemon.bus.content import Content, read_saved
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import find_private, remove_private, write_private

log = Logger(__name__)

FILE = "restoring.json"  # in the run's folder: the names of the files that hold what the stream held


def begin(run_dir: Path) -> None:
    """Before anything is changed."""
    _note(run_dir, _find(run_dir) or [])


def keep(saved: Path) -> None:
    """`saved` holds all that the stream does, which may be deleted then."""
    _note(saved.parent, [*(_find(saved.parent) or []), saved.name])


def finish(run_dir: Path) -> None:
    """The journal is proven, and all that was kept is in the stream again; the files stay."""
    remove_private(run_dir / FILE)


def find_kept(run_dir: Path) -> Content | None:
    """None if no restore is unfinished. A file that is not there any more holds nothing up."""
    names = _find(run_dir)
    if names is None:
        return None
    kept = Content()
    for name in names:
        try:
            kept.merge(read_saved(run_dir / name))
        except OSError as error:
            log.warning("kept_stream_not_read", path=str(run_dir / name), error=str(error), doing="goes on without it")
    return kept


def _note(run_dir: Path, names: list[str]) -> None:
    write_private(run_dir / FILE, json.dumps(names))


def _find(run_dir: Path) -> list[str] | None:
    return find_private(run_dir / FILE, lambda content: [Path(name).name for name in json.loads(content)])
