# The tables of every results table: speeds, memory, ablation, best cuDNN, layers, what was not ok, machine, claims.

from workflow.jobs.code import analysis_hash
from workflow.jobs.datasets import TABLES


rule write_tables:
    input:
        table=lambda wildcards: RUN.datasets.files(wildcards.dataset),
        networks=lambda wildcards: RUN.datasets.network_files(wildcards.dataset),
        claims=f"{RESULTS}/{{dataset}}/claims.csv",
    output:
        csv=report(
            [f"{RESULTS}/{{dataset}}/{name}" for name in TABLES if name.endswith(".csv")],
            caption="../report/tables.rst",
            category="Tables",
            subcategory="{dataset}",
        ),
        texts=[f"{RESULTS}/{{dataset}}/{name}" for name in TABLES if not name.endswith(".csv")],
    log:
        f"{RESULTS}/{{dataset}}/logs/tables.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        table=lambda wildcards: RUN.datasets.folders[wildcards.dataset],
        folder=subpath(output[0], parent=True),
    message:
        "Writing the tables of {wildcards.dataset}"
    shell:
        "python -m analysis.tables --table {params.table:q} --claims {input.claims:q} --output {params.folder:q}"
        " > {log:q} 2>&1"


rule tables:
    input:
        RUN.datasets.each(*TABLES),
