"""How AWS spells it: codecs and generated types that do not think (stratum 2, pure)."""
