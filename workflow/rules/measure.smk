# One process for each point. It ends with status 0 whatever the outcome, which it records; a kill leaves no result.
# A point is measured again when it, or the meaning of its algorithm's sources, changes, or when it failed.


rule measure:
    input:
        cubins=lambda wildcards: JOBS.measure(wildcards.point).cubins,
    output:
        f"{RESULTS}/{{device}}/points/{{experiment}}/{{point}}/result.json",
    log:
        f"{RESULTS}/{{device}}/points/{{experiment}}/{{point}}/log.txt",
    # profiles/slurm says how many points make one job.
    group:
        "measure"
    conda:
        "../../environment.yml"
    threads: JOBS.measure_threads(workflow.cores)
    resources:
        **JOBS.measure_resources,
    params:
        point=lambda wildcards: JOBS.measure(wildcards.point).point,
        source_hash=lambda wildcards: JOBS.measure(wildcards.point).source_hash,
        attempt=lambda wildcards: JOBS.measure(wildcards.point).attempt,
        kernels=JOBS.kernel_folder,
    message:
        "Measuring {wildcards.point} on {wildcards.device}"
    shell:
        "python -m workflow.measure --point {params.point:q} --kernels {params.kernels:q}"
        " --device {wildcards.device} --attempt {params.attempt} --output {output:q} --log {log:q}"
