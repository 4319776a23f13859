# The last job: what came out, and what did not, on the terminal.

from workflow.jobs.code import analysis_hash


rule summary:
    input:
        reports=RUN.datasets.each("report.md", "report.html"),
        claims=RUN.datasets.each("claims.csv"),
        tables=[file for dataset in RUN.datasets.folders for file in RUN.datasets.files(dataset)],
    output:
        f"{RESULTS}/summary.txt",
    log:
        f"{RESULTS}/logs/summary.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=lambda wildcards: analysis_hash(),
        datasets=lambda wildcards: [f"{name}={folder}" for name, folder in RUN.datasets.folders.items()],
        results=subpath(output[0], parent=True),
    message:
        "Summary"
    shell:
        "python -m analysis.summary --results {params.results:q} {params.datasets:q} 2> {log:q} | tee {output:q}"
