"""Great Expectations over the data sets of the pipeline: suites in code, failures that name the offending rows.

Great Expectations takes three seconds to import and is imported when a check runs, not before.
"""
