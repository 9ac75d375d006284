"""Proves that *routed* mode can work here, by making all that the network agent makes: namespace, rules, tap, sockets.

Run as ``python -S -m amiable.vm.fabric_probe``: all of it ends with the child.  Prints one JSON object.
"""

import json
import os

from amiable.model.link import Link
from amiable.rules.firewall import CLOSED, ruleset
from amiable.vm import links

SAMPLE = Link("vpc-0", "t0", "02:00:00:00:00:01", "10.0.0.4", "10.0.0.0/24", "10.0.0.1", "10.0.0.2", "a", "b", 1500)


def probe() -> tuple[bool, str]:
    """Whether it can, and why not."""
    step = "no network namespace can be made"
    try:
        links.enter_namespace([])
        step = "the namespace cannot be set up"
        links.prepare()
        links.keep_network_rights()
        step = "no firewall rules can be set"
        links.apply_rules(ruleset(CLOSED, SAMPLE.vpc_id))
        step = f"no tap can be made with {links.TUN}"
        tap = links.open_tap(SAMPLE)
        step = "no sockets can be bound to a tap"
        links.listen_metadata(SAMPLE.tap).close()
        links.open_dhcp(SAMPLE.tap).close()
        os.close(tap)
    except OSError as error:
        return False, f"{step}: {error.strerror or error}"
    return True, ""


if __name__ == "__main__":
    usable, why = probe()
    print(json.dumps({"usable": usable, "why": why}))
