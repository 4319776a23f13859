"""How frames become figures: every module here draws one kind of chart and computes nothing."""
