"""House images: whole systems that the installation itself offers, built on the host and put together without a loop device.

recipe      which packages and files make a house image               values only
bootstrap   those packages become an archive (mmdebstrap), and the archive a disk
build       the two of them: one disk that BIOS and UEFI start
files/      what a house image has of our own: the agent that makes a machine its instance
"""
