"""How the workers of xdist share the tests: each takes the next one, and what shares what a module makes stays together.

Not by `--dist loadgroup`: xdist 3.8 writes the group into an attribute that pytest 9.2 does not have, and says nothing.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = (  # the modules whose fixtures of scope "module" take more than a second
    "tests/integration/examples/test_flights_data.py",
    "tests/integration/examples/test_planted_mistakes.py",
    "tests/integration/examples/test_printoptim_data.py",
    "tests/integration/grafana/test_board.py",
    "tests/integration/packaging/test_packaging.py",
)
VERSIONS = ("[15", "[18")


class OneByOne(LoadScopeScheduling):
    """What stays together first, then one test after the other in the order of their names: `unit/`, which is quick, last."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """The module, by version of PostgreSQL, where tests stay together; else the test alone."""
    module, _, test = nodeid.partition("::")
    if module not in TOGETHER:
        return nodeid
    return next((f"{module}{version}]" for version in VERSIONS if version in test), module)
