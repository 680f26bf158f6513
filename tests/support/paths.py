"""Where the tests find the repository's own files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "deploy" / "examples"
FLIGHTS = EXAMPLES / "flights"
GRAFANA = ROOT / "grafana"
SUPPORT = ROOT / "tests" / "support"
