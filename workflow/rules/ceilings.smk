# What the machine itself can do, measured before any point: no result may lie above it. Measured again where other GPUs
# are at hand, or the program has changed; points that were measured stay.


rule ceilings:
    input:
        cubins=JOBS.ceiling_cubins,
    output:
        f"{RESULTS}/{{device}}/ceilings.json",
    log:
        f"{RESULTS}/{{device}}/logs/ceilings.log",
    priority: 5
    conda:
        "../../environment.yml"
    threads: JOBS.measure_threads(workflow.cores)
    resources:
        **JOBS.measure_resources,
        runtime=5,
    params:
        kind=JOBS.plan.backend,
        kernels=JOBS.kernel_folder,
        gpus=[gpu.uuid for gpu in JOBS.plan.gpus],
        source_hash=JOBS.ceilings_hash,
    message:
        "Measuring what {wildcards.device} can do"
    shell:
        "python -m workflow.ceilings --kind {params.kind} --kernels {params.kernels:q} --device {wildcards.device}"
        " --output {output:q} > {log:q} 2>&1"
