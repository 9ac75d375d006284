"""S3's operations, on values and streams; ``server/s3.py`` spells them."""
