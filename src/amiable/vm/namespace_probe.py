"""Proves that a network namespace can be made here, by making one as the holder does: with the metadata address, and a listener.

Run as ``python -S -m amiable.vm.namespace_probe``: the namespace ends with the child.  Prints one JSON object.
"""

import errno
import json
import os
import socket

from amiable.vm import holder


def probe() -> tuple[bool, str]:
    """Whether it can, and why not."""
    try:
        holder.enter_namespace(os.getuid(), [])
        holder.raise_loopback()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(holder.METADATA)
            listener.listen(1)
    except OSError as error:
        limit = (
            " (the limit user.max_net_namespaces or user.max_user_namespaces)" if error.errno == errno.ENOSPC else ""
        )
        return False, f"no network namespace can be made: {error.strerror}{limit}"
    return True, ""


if __name__ == "__main__":
    usable, why = probe()
    print(json.dumps({"usable": usable, "why": why}))
