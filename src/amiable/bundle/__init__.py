"""Instance-store bundles: compressed, encrypted, signed, in parts.  Bytes pass through once.

``pipeline.create`` writes one, ``unbundle.unbundle`` and ``unbundle.verify`` read it from a folder, ``unbundle.open_image`` from
anywhere into a sink.  The format and what is refused: ``docs/formats/bundle.md``.
"""
