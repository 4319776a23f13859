# The fastest schedules of the tiled kernels on the GPU at hand, stored as configuration: `snakemake tune`. The measuring
# rules read what is stored when they are planned, so a winner that changes is measured again by the next run.


rule find_winners:
    input:
        cubins=RUN.tuning.cubins,
    output:
        f"{RESULTS}/{{device}}/tuning.yaml",
    log:
        f"{RESULTS}/{{device}}/logs/tuning.log",
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        runtime=30,
    params:
        selection=RUN.measurements.selection,
        kernels=RUN.kernels.folder,
        stored=f"conf/tuning/{RUN.request.device}.yaml",
        sources=RUN.tuning.source_hashes,
    message:
        "Finding the fastest schedules on {wildcards.device}"
    shell:
        "python -m workflow.tune --selection {params.selection:q} --device {wildcards.device} --kernels {params.kernels:q}"
        " --stored {params.stored:q} --output {output:q} > {log:q} 2>&1"


# Has no output, as conf/ is the user's: `snakemake tune` always copies.
rule tune:
    input:
        RUN.tuning.files,
    log:
        f"{RESULTS}/logs/tune.log",
    conda:
        "../../environment.yml"
    params:
        stored=f"conf/tuning/{RUN.request.device}.yaml",
    message:
        "Storing the winners in conf/tuning"
    shell:
        "(set -- {input:q}; [ $# -gt 0 ] || {{ echo 'error: nothing to tune: it takes a GPU and an algorithm with tuned_as';"
        " exit 1; }}; mkdir -p conf/tuning && cp {input:q} {params.stored:q} && echo Stored {params.stored:q}) 2>&1 | tee {log:q}"
