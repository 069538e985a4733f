"""What every stage shares: records, manifests, files and progress."""
