# Whole networks, a job for each network and backend, of which every batch and mode is a row. Jobs end with status 0
# whatever the outcomes; which of them have something to measure is told by the number in the name of the output
# (workflow/jobs/models.py).


rule time_model:
    output:
        f"{RESULTS}/{{device}}/models/{{suite}}/{{backend}}/run-{{number}}.json",
    log:
        f"{RESULTS}/{{device}}/models/{{suite}}/{{backend}}/run-{{number}}.txt",
    wildcard_constraints:
        suite="[^/]+",
        backend="[^/]+",
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow, RUN.models)
    resources:
        **RUN.measurements.resources,
        runtime=RUN.models.minutes,
        # No parameter, since Snakemake repeats jobs whose parameters change: this may, with nothing to measure.
        selection=RUN.measurements.selection,
    params:
        folder=RUN.measurements.folder,
    message:
        "Timing {wildcards.suite} with {wildcards.backend} on {wildcards.device}"
    shell:
        "python -m workflow.models --selection {resources.selection:q} --suite {wildcards.suite:q}"
        " --backend {wildcards.backend} --folder {params.folder:q} --output {output:q} > {log:q} 2>&1"


rule models:
    input:
        RUN.models.files,
