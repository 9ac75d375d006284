"""Which network guests get: what is set, else what is proved, said in words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amiable.model.hardware import NetworkKind
from amiable.model.settings import Settings
from amiable.vm import network_kind
from amiable.vm.process import SOURCE_ROOT
from tests.support.services import settings_for

WAIT_SECONDS_MAX = 60

TELL = """
import json
from amiable.vm.network_kind import prove
found = prove()
print(json.dumps([found.kind, found.words]))
"""


def settings(tmp_path: Path, network: str) -> Settings:
    return settings_for(tmp_path, network=network)


@pytest.mark.parametrize("kind", NetworkKind)
def test_what_is_set_is_not_proved_and_says_so(tmp_path: Path, kind: NetworkKind) -> None:
    found = network_kind.choose_network(settings(tmp_path, kind.value))
    assert found.kind is kind and found.words.startswith(f"{kind.value}, as set: ")


def test_here_a_namespace_can_be_made_and_none_is_left(tmp_path: Path) -> None:
    before = Path("/proc/self/ns/net").readlink()
    found = network_kind.choose_network(settings(tmp_path, "auto"))
    assert found.kind is NetworkKind.NAMESPACE and "tunnel" in found.words
    assert Path("/proc/self/ns/net").readlink() == before


def test_where_none_may_be_made_the_fallback_says_why_and_what_it_loses() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_net_namespaces && echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", sys.executable, "-c", TELL]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True)
    kind, words = json.loads(done.stdout)
    assert kind == "guestfwd"
    assert "no network namespace can be made: unshare" in words and "user.max_net_namespaces" in words
    assert "lost: SSH" in words
