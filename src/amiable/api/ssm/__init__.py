"""Systems Manager's operations: Parameter Store."""
