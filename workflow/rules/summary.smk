# The last job: what came out, and what did not, on the terminal.


rule summary:
    input:
        reports=JOBS.of_datasets("report.md", "report.html"),
        claims=JOBS.of_datasets("claims.csv"),
        tables=[file for dataset in JOBS.tables for file in JOBS.table_files(dataset)],
        code=JOBS.code("analysis/summary.py"),
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
        datasets=lambda wildcards: [f"{name}={folder}" for name, folder in JOBS.tables.items()],
        results=subpath(output[0], parent=True),
    message:
        "Summary"
    shell:
        "python -m analysis.summary --results {params.results:q} {params.datasets:q} 2> {log:q} | tee {output:q}"
