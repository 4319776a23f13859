# Only measurements are submitted to a cluster; the rest takes seconds and runs where Snakemake does.


localrules:
    aggregate,
    archive,
    compile,
    draw_figures,
    judge_claims,
    kernel_resources,
    sources,
    summary,
    tune,
    write_report,
    write_tables,
