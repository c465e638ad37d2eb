"""All there is to measure on a GPU, part by part, into one file. Nothing here needs more than the standard library:
a part that cannot be imported fails alone.
"""
