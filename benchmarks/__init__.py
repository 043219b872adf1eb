"""Measurements of Seatrial: timings, real histories, killed runs. Nothing here is part of the package."""
