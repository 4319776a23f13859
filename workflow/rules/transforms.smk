# How long the transforms take alone.


rule time_transforms:
    input:
        cubins=JOBS.transform_cubins,
    output:
        report(
            f"{RESULTS}/{{device}}/transform.csv",
            caption="../report/transforms.rst",
            category="Tables",
            labels={"table": "the transforms alone"},
        ),
    log:
        f"{RESULTS}/{{device}}/logs/transform.log",
    conda:
        "../../environment.yml"
    threads: JOBS.measure_threads(workflow.cores)
    resources:
        **JOBS.measure_resources,
        runtime=10,
    params:
        selection=JOBS.selection,
        sources=lambda wildcards: JOBS.transform_hash,
        kernels=JOBS.kernel_folder,
    message:
        "Timing the transforms on {wildcards.device}"
    shell:
        "python -m workflow.transforms --selection {params.selection:q} --device {wildcards.device:q}"
        " --kernels {params.kernels:q} --output {output:q} > {log:q} 2>&1"


rule transforms:
    input:
        JOBS.transforms,
