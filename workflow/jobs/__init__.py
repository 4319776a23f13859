"""How what is to be measured becomes jobs: groups of points, their results, and the files that each rule makes."""
