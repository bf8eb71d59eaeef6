"""What Cascade does, one verb a file: rules from `domain`, sets from `storage`, and nothing else."""
