"""Image files from outside."""
