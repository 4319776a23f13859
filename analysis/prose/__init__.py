"""Text with numbers computed from the data: findings, reasons, method, guide, summary, traces."""
