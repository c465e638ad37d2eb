"""Faults, counted: kills, full disks, dead teachers, hostile requests, long runs."""
