"""The tidy frames that the figures are drawn from: whatever is computed for a figure is computed here."""
