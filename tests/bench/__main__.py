"""`make bench`: every bench, all repetitions printed. Machines are noisy: read the ratios, not the seconds."""

import importlib
import sys

BENCHES = ("data", "idle", "compare", "precheck", "validate", "foreseen", "runbook")

for name in sys.argv[1:] or BENCHES:
    print(f"\n== {name}")
    importlib.import_module(f"tests.bench.{name}").main()
