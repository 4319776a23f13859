# Compile, measure, aggregate, draw, judge: `snakemake --cores all`. The rules are in workflow/rules, one file a stage;
# what is measured is in conf/, and workflow/config.py explains the keys of --config.
from snakemake.utils import min_version

from workflow.jobs import CLAIMS, COMPARED, FIGURE_LABELS, FIGURES, REPORTS, TABLE_FILES, TABLES, start
from workflow.lock import hold
from workflow.slurm import take_over

min_version("9.0")

JOBS = start(config, workflow.is_main_process)
RESULTS = JOBS.results


wildcard_constraints:
    device=JOBS.plan.device or "none",
    experiment=JOBS.plan.experiment or "none",
    point="[a-z0-9_/]+",
    program="[a-z0-9_]+",
    architecture="sm_[0-9]+[a-z]?",
    dataset="|".join(JOBS.tables) or "none",


# Snakemake's own lock outlives a run that is killed, so the profile switches it off; this one does not.
onstart:
    hold(RESULTS)
    take_over(RESULTS, log)


include: "workflow/rules/compile.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/local.smk"


rule all:
    default_target: True
    input:
        JOBS.everything,
        f"{RESULTS}/summary.txt",
    message:
        "Done"
