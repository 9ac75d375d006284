"""Builders of guest disk images, for the demo, the tests and the benchmarks.

They assemble what Debian publishes on the machine they run on; nothing bootable is kept in the repository.  No builder needs
root, a loop device or a mount: file systems are written by ``debugfs`` and ``mke2fs``, boot loaders are embedded by
``guests.disk``.  Standard library only, so that they run before anything is installed by pip.
"""
