"""Which network guests get: what is set, else what is proved, said in words."""

import json
import os
import socket
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


def may_open_tun() -> bool:
    """Whether this user may make taps."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return False
    return True


def test_what_is_chosen_here_is_routed_where_taps_can_be_made_and_nothing_of_the_proof_is_left(tmp_path: Path) -> None:
    before = Path("/proc/self/ns/net").readlink(), socket.if_nameindex()
    found = network_kind.choose_network(settings(tmp_path, "auto"))
    assert found.kind is (NetworkKind.ROUTED if may_open_tun() else NetworkKind.NAMESPACE)
    assert "tunnel" in found.words
    assert may_open_tun() or "no tap can be made with /dev/net/tun: " in found.words
    assert (Path("/proc/self/ns/net").readlink(), socket.if_nameindex()) == before


def prove_in(*prefix: str) -> tuple[str, str]:
    """Kind and words of a proof made behind ``prefix``."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    argv = ["unshare", "--user", "--map-root-user", "--mount", *prefix, sys.executable, "-c", TELL]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True)
    kind, words = json.loads(done.stdout)
    return kind, words


def test_a_user_namespace_of_an_ordinary_user_is_enough_where_the_device_opens() -> None:
    kind, words = prove_in()
    assert kind == ("routed" if may_open_tun() else "namespace")
    assert may_open_tun() or "no tap can be made" in words


def test_where_the_device_is_missing_slirp_is_chosen_and_it_says_so() -> None:
    kind, words = prove_in("sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")
    assert kind == "namespace"
    assert words.startswith(
        "namespace (no tap can be made with /dev/net/tun: No such file or directory): each guest alone"
    )


def test_where_nft_is_not_installed_slirp_is_chosen_and_it_says_so() -> None:
    hide = 'for f in /usr/sbin/nft /sbin/nft /usr/bin/nft /bin/nft; do [ -e $f ] && mount --bind /dev/null $f; done; exec "$@"'
    kind, words = prove_in("sh", "-c", hide, "sh")
    assert kind == "namespace" and words.startswith("namespace (no firewall rules can be set: ")


def test_where_none_may_be_made_the_fallback_says_why_and_what_it_loses() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_net_namespaces && echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", sys.executable, "-c", TELL]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=WAIT_SECONDS_MAX, check=True)
    kind, words = json.loads(done.stdout)
    assert kind == "guestfwd"
    assert "no network namespace can be made: unshare" in words and "user.max_net_namespaces" in words
    assert "lost: SSH" in words
