"""EC2's operations, one module per noun."""
