"""Numbers from records: scores, intervals, comparisons."""
