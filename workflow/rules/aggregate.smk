# From the result files of the points to one results table, and from there to an archive if asked for.

from analysis.table.schema import TABLE_FILES
from kernels.build.sources import digest
from workflow.jobs.code import code_hash


include: "accuracy.smk"
include: "transforms.smk"
include: "models.smk"


rule aggregate:
    input:
        results=lambda wildcards: RUN.measurements.files,
        models=lambda wildcards: RUN.models.files,
        ceilings=f"{RESULTS}/{{device}}/ceilings.json",
        anchors=lambda wildcards: RUN.measurements.anchor_files,
    output:
        [f"{RESULTS}/{{device}}/{name}" for name in (*TABLE_FILES, *RUN.network_files, *RUN.models.table)],
    log:
        f"{RESULTS}/{{device}}/logs/aggregate.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        # The program expands the selection again: a command line has no room for a file name for each of many points.
        selection=RUN.measurements.selection,
        folder=subpath(output[0], parent=True),
        code=lambda wildcards: code_hash(
            "workflow/aggregate.py", "workflow/jobs/companions.py", "workflow/jobs/models.py", "analysis/table"
        ),
        networks=digest([RUN.networks]),
        anchors=[
            f"--anchors={RUN.measurements.anchor_selection}",
            *(f"--gpu={gpu}" for gpu in RUN.measurements.anchors),
        ],
    message:
        "Collecting the results of {wildcards.device}"
    shell:
        "python -m workflow.aggregate --selection {params.selection:q} --folder {params.folder:q} {params.anchors:q}"
        " > {log:q} 2>&1"


# Has no output, so that drawing from the archive never replaces it: `snakemake archive` always copies.
rule archive:
    input:
        RUN.datasets.own_files,
        RUN.datasets.companions,
    log:
        f"{RESULTS}/logs/archive.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        folder=lambda wildcards, input: os.path.dirname(input[0]),
    message:
        "Copying the results table to analysis/archive"
    shell:
        "python -m workflow.archive --folder {params.folder:q} 2>&1 | tee {log:q}"
