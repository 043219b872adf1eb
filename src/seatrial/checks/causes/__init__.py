"""Why it happened, derived from what was observed in the trial.

Each function looks for one thing that really happened (a cascade whose parents were deleted, a column that up dropped
and down added empty, a cast, a trigger whose table was written ...) and says it in a sentence, with the advice that
goes with it, for the very tables and columns at hand. Where none did, there is no cause to say (``UNKNOWN``).
"""
