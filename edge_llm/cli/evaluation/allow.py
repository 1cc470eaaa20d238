"""Says what a run will cost, and asks before it is spent."""

from __future__ import annotations

import sys

from edge_llm.cli.evaluation.options import RunOptions
from edge_llm.errors import ConfigError
from edge_llm.evaluate.replay.estimate import Estimate


def describe(estimate: Estimate) -> str:
    """What is left to be done, and at what price, in one line."""
    parts = [f"{estimate.num_questions} questions", f"{estimate.num_local} local answers to write"]
    if estimate.num_cloud:
        parts.append(f"{estimate.num_cloud} to ask the cloud")
    if estimate.num_judged:
        parts.append(f"up to {estimate.num_judged} to have judged")
    if estimate.most_usd is None:
        parts.append("at a price that is not known")
    elif estimate.most_usd > 0.0:
        parts.append(f"about ${estimate.expected_usd:.2f}, at most ${estimate.most_usd:.2f}")
    return ", ".join(parts)


def allow(estimate: Estimate, options: RunOptions) -> None:
    """Nothing, where the run may begin.

    Raises:
        ConfigError: no price is known, or nobody has agreed to pay it.
    """
    print(describe(estimate), file=sys.stderr)
    if estimate.most_usd is None and not options.without_price:
        raise ConfigError(
            "the endpoint has no prices, so nobody can say what this costs",
            hint="prices = { input_usd = …, output_usd = … } in the configuration, for a million"
            " tokens, or --without-price",
        )
    if estimate.most_usd is None and options.max_cost_usd is not None:
        raise ConfigError(
            "--max-cost-usd cannot be kept without prices", hint="set prices for the endpoint"
        )
    if estimate.is_free or options.yes or estimate.most_usd is None:
        return  # who says --without-price has agreed, too
    if options.max_cost_usd is not None and not sys.stdin.isatty():
        return  # who sets a limit has agreed to spend that much
    if not sys.stdin.isatty():
        raise ConfigError(
            "this costs money, and nobody is here to agree", hint="--yes, or --max-cost-usd"
        )
    import typer

    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
