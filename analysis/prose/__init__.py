"""Sentences, each with numbers from the data: findings, reasons, method, the guide."""
