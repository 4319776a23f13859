# The image in which jobs run with `--sdm apptainer`, if --config container= names one; it must hold what
# workflow/containers/ installs.

if RUN.request.container:

    container: RUN.request.container
