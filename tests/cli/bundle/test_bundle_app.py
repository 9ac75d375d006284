"""``amiable bundle --help``: without what works on bundles."""

import subprocess
import sys

HEAVY = ("boto3", "botocore", "cryptography", "isal", "sqlalchemy")


def test_help_loads_none_of_the_heavy() -> None:
    code = (
        "import sys; from amiable.cli.main import main; main(['bundle', '--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stderr.decode().splitlines()[-1] == "[]"
    assert b"create" in done.stdout
