"""How guests' networks are kept apart on this host, proved once, with what it loses in words.

*routed* where a namespace a VPC with taps and firewall rules can be made, else a namespace an instance, else ``guestfwd``: QEMU
itself starts ``socat`` for each metadata connection.
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
    NetworkKind.ROUTED: (
        "guests of a VPC see each other as their security groups allow, reached by tunnel and, from root's server, "
        "by private address; no outbound network"
    ),
    NetworkKind.NAMESPACE: "each guest alone in a network namespace, reached by tunnel; no outbound network",
    NetworkKind.GUESTFWD: (
        "each guest reaches its metadata and nothing else; lost: SSH and every tunnel, the private address "
        "(guests get a link-local one), and QEMU's full sandbox (it must start socat)"
    ),
}

PROBES: Final = {
    NetworkKind.ROUTED: "amiable.vm.fabric_probe",
    NetworkKind.NAMESPACE: "amiable.vm.namespace_probe",
}
"""What *auto* tries, in this order."""

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
    """Makes what each kind needs in a child, the best first, or learns why it cannot."""
    lacks: list[str] = []
    for kind, module in PROBES.items():
        usable, why = _probe(module)
        if usable:
            return Network(kind, f"{kind}{_because(lacks)}: {WORDS[kind]}")
        lacks.append(why)
    return Network(NetworkKind.GUESTFWD, f"{NetworkKind.GUESTFWD}{_because(lacks)}: {WORDS[NetworkKind.GUESTFWD]}")


def _because(lacks: list[str]) -> str:
    return f" ({'; '.join(dict.fromkeys(lacks))})" if lacks else ""


def _probe(module: str) -> tuple[bool, str]:
    argv = [sys.executable, "-S", "-s", "-P", "-B", "-m", module]
    environment = {"PYTHONPATH": str(SOURCE_ROOT), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=PROBE_SECONDS_MAX, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return False, f"a test namespace was not there within {PROBE_SECONDS_MAX} s"
    except (OSError, ValueError):
        return False, "the test of namespaces crashed"
    return bool(answer["usable"]), str(answer["why"])
