"""What may happen: values in, a value or a refusal out (stratum 2, pure)."""
