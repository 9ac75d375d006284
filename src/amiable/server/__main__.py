"""``python -m amiable.server``."""

import os
import sys

from amiable.server.main import main

sys.exit(main(sys.argv[1:], dict(os.environ)))
