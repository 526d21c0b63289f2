"""The process that parses large bodies."""
