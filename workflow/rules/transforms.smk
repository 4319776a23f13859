# How long the transforms take alone.


rule time_transforms:
    input:
        cubins=RUN.transforms.cubins,
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
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        runtime=10,
    params:
        selection=RUN.measurements.selection,
        sources=RUN.transforms.source_hashes,
        kernels=RUN.kernels.folder,
    message:
        "Timing the transforms on {wildcards.device}"
    shell:
        "python -m workflow.transforms --selection {params.selection:q} --device {wildcards.device:q}"
        " --kernels {params.kernels:q} --output {output:q} > {log:q} 2>&1"


rule transforms:
    input:
        RUN.transforms.files,
