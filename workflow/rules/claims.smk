# A verdict on each claim of the paper, for every results table and protocol.

from workflow.jobs.code import analysis_hash
from workflow.jobs.datasets import CLAIMS


rule judge_claims:
    input:
        table=lambda wildcards: RUN.datasets.files(wildcards.dataset),
        networks=lambda wildcards: RUN.datasets.network_files(wildcards.dataset),
    output:
        csv=report(
            f"{RESULTS}/{{dataset}}/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"device": "{dataset}"},
        ),
        markdown=f"{RESULTS}/{{dataset}}/claims.md",
    log:
        f"{RESULTS}/{{dataset}}/logs/claims.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        table=lambda wildcards: RUN.datasets.folders[wildcards.dataset],
        folder=subpath(output.csv, parent=True),
    message:
        "Judging the claims on {wildcards.dataset}"
    shell:
        "python -m analysis.claims --table {params.table:q} --output-dir {params.folder:q} > {log:q} 2>&1"


rule claims:
    input:
        RUN.datasets.each(*CLAIMS),
