"""One module per kind of answer: find it in a completion, and judge it against the gold answer."""
