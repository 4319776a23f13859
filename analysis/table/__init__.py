"""The format of a results table and of what lies beside it: columns, reading, writing, checking."""
