# A readable report of every results table, as Markdown and as one self-contained HTML file that marks the numbers older
# than today's sources; and a page on which algorithm to use.

from workflow.jobs.code import analysis_hash, current_sources
from workflow.jobs.datasets import REPORTS


rule sources:
    output:
        f"{RESULTS}/sources.json",
    log:
        f"{RESULTS}/logs/sources.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=100,
        runtime=5,
    params:
        hashes=lambda wildcards: current_sources(RUN.request.catalog),
    message:
        "Writing the hashes of the sources"
    shell:
        "printf '%s\\n' {params.hashes:q} > {output:q} 2> {log:q}"


rule write_report:
    input:
        table=lambda wildcards: RUN.datasets.files(wildcards.dataset),
        networks=lambda wildcards: RUN.datasets.network_files(wildcards.dataset),
        figures=rules.draw_figures.output,
        tables=rules.write_tables.output,
        claims=rules.judge_claims.output.csv,
        sources=f"{RESULTS}/sources.json",
    output:
        markdown=f"{RESULTS}/{{dataset}}/report.md",
        html=report(
            f"{RESULTS}/{{dataset}}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"device": "{dataset}"},
        ),
    log:
        f"{RESULTS}/{{dataset}}/logs/report.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        table=lambda wildcards: RUN.datasets.folders[wildcards.dataset],
        figures=lambda wildcards: f"{RESULTS}/{wildcards.dataset}/figures",
        tables=lambda wildcards: f"{RESULTS}/{wildcards.dataset}/tables",
    message:
        "Writing the report of {wildcards.dataset}"
    shell:
        "python -m analysis.report --table {params.table:q} --sources {input.sources:q} --figures {params.figures:q}"
        " --tables {params.tables:q} --claims {input.claims:q} --output {output.markdown:q} --html {output.html:q} > {log:q} 2>&1"


rule write_guide:
    input:
        table=lambda wildcards: RUN.datasets.files(wildcards.dataset),
        networks=lambda wildcards: RUN.datasets.network_files(wildcards.dataset),
    output:
        f"{RESULTS}/{{dataset}}/guide.md",
    log:
        f"{RESULTS}/{{dataset}}/logs/guide.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        table=lambda wildcards: RUN.datasets.folders[wildcards.dataset],
    message:
        "Writing which algorithm to use, from {wildcards.dataset}"
    shell:
        "python -m analysis.guide --table {params.table:q} --output {output:q} > {log:q} 2>&1"


rule report:
    input:
        RUN.datasets.each(*REPORTS),
