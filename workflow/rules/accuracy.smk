# Errors of the FP32-accurate algorithms and of strict FP32 on the same data, for several kinds of data.


rule compare_errors:
    input:
        cubins=RUN.accuracy.cubins,
    output:
        report(
            f"{RESULTS}/{{device}}/accuracy.csv",
            caption="../report/errors.rst",
            category="Tables",
            labels={"table": "errors over several kinds of data"},
        ),
    log:
        f"{RESULTS}/{{device}}/logs/accuracy.log",
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        runtime=10,
    params:
        selection=RUN.measurements.selection,
        sources=RUN.accuracy.source_hashes,
        kernels=RUN.kernels.folder,
    message:
        "Comparing errors on {wildcards.device}"
    shell:
        "python -m workflow.accuracy --selection {params.selection:q} --kernels {params.kernels:q} --output {output:q}"
        " > {log:q} 2>&1"


rule accuracy:
    input:
        RUN.accuracy.files,
