"""The tiny world's base models, trained from scratch."""
