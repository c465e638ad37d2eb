"""Versions of the packaged decoder: register, compare, judge, promote, watch."""
