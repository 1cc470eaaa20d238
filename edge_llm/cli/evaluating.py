"""`edge-llm calibrate` and `edge-llm evaluate`: options only; the work is in `cli.evaluation`.

Only typer is imported here, because `edge-llm --help` must stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="JSONL or CSV: 'prompt' and a reference ('exact', 'numeric', 'regex', 'json',"
        " 'tool_calls', 'choice' or 'rubric') in each row; or outcomes, with --recorded.",
    ),
]
Recorded = Annotated[
    bool,
    typer.Option(
        "--recorded",
        help="DATA holds outcomes ('local_correct', 'cloud_correct', 'score' or 'feature.NAME',"
        " texts, costs): no model is asked.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="OURS=THEIRS", help="Another name of a column; may repeat."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first rows.")]
Model = Annotated[str | None, typer.Option("--model", "-m", metavar="REF", help="The local model.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="A TOML file, with tiers.")]
CloudUrl = Annotated[
    str | None, typer.Option("--cloud-url", help="An OpenAI-compatible address to compare with.")
]
CloudModel = Annotated[str | None, typer.Option("--cloud-model", help="The model there.")]
CloudKeyEnv = Annotated[
    str | None,
    typer.Option("--cloud-key-env", metavar="NAME", help="The variable that holds its key."),
]
Privacy = Annotated[
    str | None, typer.Option("--privacy", help="What may leave: local_only, redact or allow.")
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge", metavar="MODULE:FUNCTION|cloud", help="Grades rows that bring no reference."
    ),
]
Rubric = Annotated[
    str | None, typer.Option("--rubric", help="What a judge looks at where a row says nothing.")
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", min=1, help="Longest answer where a row says nothing.")
]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Else each model's own.")]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, help="Questions that the cloud has at once.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of splits, intervals and sampling.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost-usd", min=0.0, help="Stop before it costs more.")
]
WithoutPrice = Annotated[
    bool, typer.Option("--without-price", help="Ask a cloud whose prices nobody has said.")
]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Keep answers of an earlier run, or ask anew.")
]
JournalFile = Annotated[
    str | None, typer.Option("--journal", metavar="FILE", help="Where answers are kept meanwhile.")
]
Save = Annotated[
    str | None,
    typer.Option("--save", metavar="FILE", help="Write the outcomes, for --recorded later."),
]
Plots = Annotated[
    str | None, typer.Option("--plots", metavar="DIR", help="Write the curves as SVG and PNG.")
]
Task = Annotated[str, typer.Option("--task", help="Keep it for this task; see [confidence].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, as into a pipe.")]


def calibrate(  # noqa: PLR0913 — one parameter is one option of the command line
    data: Data,
    goal: Annotated[
        str,
        typer.Option("--goal", help="'accuracy-loss' (against the cloud) or 'selective-error'."),
    ] = "accuracy-loss",
    epsilon: Annotated[
        float, typer.Option("--epsilon", help="accuracy-loss: lost in expectation, at most.")
    ] = 0.02,
    alpha: Annotated[
        float, typer.Option("--alpha", help="selective-error: wrong among the kept, at most.")
    ] = 0.1,
    delta: Annotated[
        float, typer.Option("--delta", help="selective-error: how often that may not hold.")
    ] = 0.1,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", help="'30%' of requests escalated, or '0.002usd' a request, at most."
        ),
    ] = None,
    early: Annotated[
        float,
        typer.Option(
            "--early",
            min=0.0,
            max=0.5,
            help="Share of what could be kept that may be given up before its end; 0: nothing is.",
        ),
    ] = 0.05,
    task: Task = "default",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Else where the runtime finds it."),
    ] = None,
    recorded: Recorded = False,
    column: Columns = None,
    limit: Limit = None,
    model: Model = None,
    config: ConfigFile = None,
    cloud_url: CloudUrl = None,
    cloud_model: CloudModel = None,
    cloud_key_env: CloudKeyEnv = None,
    privacy: Privacy = None,
    judge: Judge = None,
    rubric: Rubric = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    concurrency: Concurrency = 4,
    seed: Seed = 0,
    yes: Yes = False,
    max_cost_usd: MaxCost = None,
    without_price: WithoutPrice = False,
    resume: Resume = True,
    journal: JournalFile = None,
    save: Save = None,
    plots: Plots = None,
    as_json: AsJson = False,
) -> None:
    """Fit the confidence of a model on your own questions, with a threshold that is certified.

    Asks the local model and the cloud every question (or takes recorded outcomes), fits on one
    half, certifies on the other, writes the calibration where the runtime finds it, and shows what
    it is worth. Stopped half-way, the same command goes on. Exit code 4, and nothing is written,
    where no threshold keeps the goal.

    A row, as JSON: {"prompt": "What is 2 + 2?", "numeric": 4}. The guide to the format is
    edge_llm/evaluate/README.md.
    """
    from edge_llm.cli.evaluation.calibrate import run
    from edge_llm.cli.evaluation.options import DataOptions, RunOptions, parse_goal

    run(
        DataOptions(data, recorded, tuple(column or ()), limit),
        RunOptions(
            model, config, cloud_url, cloud_model, cloud_key_env, privacy, judge, rubric,
            max_tokens, temperature, concurrency, seed, yes, max_cost_usd, without_price, resume,
            journal, save, task, early,
        ),
        parse_goal(goal, epsilon, alpha, delta, budget),
        output=output,
        plots=plots,
        as_json=as_json,
    )  # fmt: skip


def evaluate(  # noqa: PLR0913 — one parameter is one option of the command line
    data: Data,
    epsilon: Annotated[
        list[float] | None,
        typer.Option("--epsilon", help="Of a hybrid; may repeat. Else 0.01, 0.02 and 0.05."),
    ] = None,
    race: Annotated[
        bool, typer.Option("--race/--no-race", help="Also doubtful drafts raced by the cloud.")
    ] = True,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine/--no-refine", help="Also drafts that the cloud improves; asks it once more."
        ),
    ] = True,
    recorded: Recorded = False,
    column: Columns = None,
    limit: Limit = None,
    model: Model = None,
    config: ConfigFile = None,
    cloud_url: CloudUrl = None,
    cloud_model: CloudModel = None,
    cloud_key_env: CloudKeyEnv = None,
    privacy: Privacy = None,
    judge: Judge = None,
    rubric: Rubric = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    concurrency: Concurrency = 4,
    seed: Seed = 0,
    yes: Yes = False,
    max_cost_usd: MaxCost = None,
    without_price: WithoutPrice = False,
    resume: Resume = True,
    journal: JournalFile = None,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Compare ways to run two tiers on your own questions, side by side.

    Local only, cloud only, hybrids at several epsilon, a race, and drafts that the cloud improves:
    accuracy and its difference to the cloud's with intervals by the paired bootstrap, cost, share
    escalated, latency. No question is decided by a threshold that was fitted on it.
    """
    from edge_llm.cli.evaluation.evaluate import run
    from edge_llm.cli.evaluation.options import DataOptions, RunOptions

    run(
        DataOptions(data, recorded, tuple(column or ()), limit),
        RunOptions(
            model, config, cloud_url, cloud_model, cloud_key_env, privacy, judge, rubric,
            max_tokens, temperature, concurrency, seed, yes, max_cost_usd, without_price, resume,
            journal, save,
        ),
        epsilons=tuple(epsilon or ()),
        races=race,
        refines=refine,
        as_json=as_json,
    )  # fmt: skip
