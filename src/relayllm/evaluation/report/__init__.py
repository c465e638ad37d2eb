"""Pictures and words from numbers."""
