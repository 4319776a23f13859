# Several archives side by side, where a run redraws more than one.


rule compare:
    input:
        tables=[file for dataset in JOBS.tables for file in JOBS.table_files(dataset)],
        code=JOBS.code("analysis"),
    output:
        [f"{JOBS.comparison}/{name}" for name in COMPARED if not name.endswith((".svg", ".csv"))],
        figures=report(
            [f"{JOBS.comparison}/{name}" for name in COMPARED if name.endswith(".svg")],
            caption="../report/comparison.rst",
            category="Comparison",
        ),
        table=report(
            [f"{JOBS.comparison}/{name}" for name in COMPARED if name.endswith(".csv")],
            caption="../report/comparison.rst",
            category="Comparison",
        ),
    log:
        f"{JOBS.comparison}/logs/compare.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        tables=list(JOBS.tables.values()),
        folder=subpath(output[0], ancestor=2),
    message:
        "Comparing the archives"
    shell:
        "python -m analysis.compare {params.tables:q} --output {params.folder:q} > {log:q} 2>&1"
