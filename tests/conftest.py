"""For every test: timings are never asserted, so a busy machine must not fail a property either."""

import os

from hypothesis import settings

settings.register_profile("calm", deadline=None)
settings.load_profile("calm")

# Hundreds of tests call the command: without bytecode beside the sources each of them would compile all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
