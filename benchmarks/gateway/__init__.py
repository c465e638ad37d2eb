"""`relay serve` before vLLM servers, beside the student alone: `python -m benchmarks.gateway`."""
