r"""Commands that psql gives to a shell on its way: a pipe of `\g`, `\o`, `\w` and `\copy … to program`, and backticks.

`\copy … from program` is none of them: psql fails where its program does, and nothing is written.
"""

from __future__ import annotations

import re

from cutoverd.daemon.sqltext.copy_files import OUTPUT, copies_to_program, output_name
from cutoverd.daemon.sqltext.splitter import WHOLE_LINE, MetaCommand
from cutoverd.daemon.sqltext.variables import Variables

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*\"""")


def runs_shell(command: MetaCommand, variables: Variables) -> bool:
    """Whether a shell has to do with it, whatever it runs."""
    if command.name == "copy":
        return copies_to_program(command)
    if command.name in OUTPUT and (output_name(command, variables) or "").startswith("|"):
        return True
    return has_backticks(command)


def has_backticks(command: MetaCommand) -> bool:
    return command.name not in WHOLE_LINE and any("`" in _QUOTED.sub("", each) for each in command.arguments)
