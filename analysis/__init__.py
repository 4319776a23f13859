"""Programs that turn a results table into figures, tables, claims and a report; their code is in the folders here."""
