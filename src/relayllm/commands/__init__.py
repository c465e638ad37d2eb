"""What a `relay` command does that is no stage: one module each, beside what they share."""
