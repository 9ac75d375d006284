"""A disk image of a running system or of any directory, without a loop device, a mount or a copy of the tree.

    tree ─ selection: filters, mount points ─▶ entries ─▶ file system (mke2fs, then libext2fs: entry by entry) ─▶ boot loader ─▶ image

``image`` puts it together; ``docs/decisions/0016-file-systems-through-libext2fs.md`` says why it is done so.
"""
