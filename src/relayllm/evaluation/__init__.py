"""Evaluation: methods x benchmarks, statistics, report."""
