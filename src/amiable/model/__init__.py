"""What things are: values that know their unit and nothing else (stratum 1, pure)."""
