"""The answers of the API, field by field: for its description at /docs. The answers themselves are plain JSON."""
