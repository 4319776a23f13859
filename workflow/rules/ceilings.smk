# What the machine itself can do, measured before any point: no result may lie above it. Measured again where other GPUs
# are at hand, or the program has changed; points that were measured stay.

from workflow.harness.identity import ceilings_hash


rule ceilings:
    input:
        cubins=RUN.kernels.cubins(["ceilings"]),
    output:
        f"{RESULTS}/{{device}}/ceilings.json",
    log:
        f"{RESULTS}/{{device}}/logs/ceilings.log",
    priority: 5
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        runtime=5,
    params:
        kind=RUN.request.backend,
        kernels=RUN.kernels.folder,
        gpus=[gpu.uuid for gpu in RUN.request.gpus],
        source_hash=lambda wildcards: ceilings_hash(),
    message:
        "Measuring what {wildcards.device} can do"
    shell:
        "python -m workflow.ceilings --kind {params.kind} --kernels {params.kernels:q} --device {wildcards.device}"
        " --output {output:q} > {log:q} 2>&1"
