# Only measurements are submitted to a cluster; the rest takes seconds and runs where Snakemake does.


localrules:
    aggregate,
    archive,
    compare,
    compile,
    draw_figures,
    judge_claims,
    kernel_resources,
    sources,
    summary,
    tune,
    write_guide,
    write_report,
    write_tables,
