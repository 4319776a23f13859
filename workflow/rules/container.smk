# The image in which jobs run with `--sdm apptainer`, if --config container= names one; it must hold what
# workflow/containers/ installs.

if JOBS.plan.container:

    container: JOBS.plan.container
