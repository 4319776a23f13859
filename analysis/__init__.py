import os

# Figures are files. A backend that the shell names, such as a notebook's, may not be installed here, and Matplotlib
# would refuse to be imported; so this comes before any import of it.
os.environ["MPLBACKEND"] = "agg"
