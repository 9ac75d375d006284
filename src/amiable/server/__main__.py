"""``python -m amiable.server``."""

import os
import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the program is loaded there is nothing to undo, nor to tell of

from amiable.server.main import main

sys.exit(main(sys.argv[1:], dict(os.environ)))
