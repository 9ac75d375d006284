"""How guests' networks are kept apart on this host, proved once, with what it loses in words.

A namespace an instance where one can be made, else ``guestfwd``: QEMU itself starts ``socat`` for each metadata connection.
"""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

from amiable.model.hardware import NetworkKind
from amiable.model.settings import Settings
from amiable.vm.process import SOURCE_ROOT

PROBE_SECONDS_MAX: Final = 20

WORDS: Final = {
    NetworkKind.NAMESPACE: "each guest alone in a network namespace, reached by tunnel; no outbound network",
    NetworkKind.GUESTFWD: (
        "each guest reaches its metadata and nothing else; lost: SSH and every tunnel, the private address "
        "(guests get a link-local one), and QEMU's full sandbox (it must start socat)"
    ),
}

_lock = threading.Lock()
_known: dict[str, "Network"] = {}


@dataclass(frozen=True, slots=True)
class Network:
    """The choice, and what it means in words."""

    kind: NetworkKind
    words: str


def choose_network(settings: Settings) -> Network:
    """The network of guests that start now; the proof is made once a process."""
    if settings.network != "auto":
        kind = NetworkKind(settings.network)
        return Network(kind, f"{kind}, as set: {WORDS[kind]}")
    with _lock:
        if "auto" not in _known:
            _known["auto"] = prove()
        return _known["auto"]


def prove() -> Network:
    """Makes a namespace in a child, or learns why it cannot."""
    usable, why = _probe()
    if usable:
        return Network(NetworkKind.NAMESPACE, f"{NetworkKind.NAMESPACE}: {WORDS[NetworkKind.NAMESPACE]}")
    return Network(NetworkKind.GUESTFWD, f"{NetworkKind.GUESTFWD} ({why}): {WORDS[NetworkKind.GUESTFWD]}")


def _probe() -> tuple[bool, str]:
    argv = [sys.executable, "-S", "-s", "-P", "-B", "-m", "amiable.vm.namespace_probe"]
    environment = {"PYTHONPATH": str(SOURCE_ROOT), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=PROBE_SECONDS_MAX, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return False, f"a test namespace was not there within {PROBE_SECONDS_MAX} s"
    except (OSError, ValueError):
        return False, "the test of namespaces crashed"
    return bool(answer["usable"]), str(answer["why"])
