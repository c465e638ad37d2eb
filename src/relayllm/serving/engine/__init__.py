"""One thread that owns the decoder's running batch, and what goes in and out of it."""
