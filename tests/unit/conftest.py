"""Settings of the tests that Hypothesis drives: the same cases on every machine in CI, new ones at a desk."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("desk", deadline=None, max_examples=100, database=None)
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
