"""Where weights come from, what they are, and whether they fit: the hub, folders, GGUF files, shapes."""
