"""What is to be measured: the files of conf/, read and checked, the request, and the points that follow from both."""
