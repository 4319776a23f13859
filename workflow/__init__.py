"""The programs that the rules start and that are run by hand; the folders below hold what they are made of."""
