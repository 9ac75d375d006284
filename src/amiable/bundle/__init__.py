"""Instance-store bundles: compressed, encrypted, signed, in parts.  Bytes pass through once.

``pipeline.create`` writes one, ``unbundle.unbundle`` and ``unbundle.verify`` read it from a folder, ``unbundle.open_image`` from
anywhere into a sink; ``random_access.open_random`` reads pieces of the image by the sidecar of ``assurance``.  The formats and what is
refused: ``docs/formats/bundle.md`` and ``assurance.md``.
"""
