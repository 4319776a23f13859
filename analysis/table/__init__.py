"""The format of a results table and of the tables beside it: columns, reading, writing, checking."""
