"""For every test: timings are never asserted, so a busy machine must not fail a property either."""

from hypothesis import settings

settings.register_profile("calm", deadline=None)
settings.load_profile("calm")
