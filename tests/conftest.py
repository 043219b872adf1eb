"""For every test: timings are never asserted, so a busy machine must not fail a property either.

The fixtures of servers are made known here and nowhere else: imported into a module they would be that module's own,
and each module would start servers of its own.
"""

import os
import signal

from hypothesis import settings
from mysql_fixtures import db, mysql_server
from pg_fixtures import pg, pg_server, pg_shared
from server_fixtures import state_folder
from trial_fixtures import trial

__all__ = ["db", "mysql_server", "pg", "pg_server", "pg_shared", "state_folder", "trial"]

settings.register_profile("calm", deadline=None)
settings.load_profile("calm")

# Hundreds of tests call the command: without bytecode beside the sources each of them would compile all of it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell starts what it puts in the background with SIGINT ignored, and the runs that are interrupted would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
