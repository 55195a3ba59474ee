"""``archwalk agents``: the agents that come with the package, and training one of one's own.

In: arguments. Out: tables or JSON on standard output, or a file. ``commands`` hangs it into the command line.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import tyro

from archwalk.cli.arguments import listed
from archwalk.cli.cards import print_card, typed
from archwalk.cli.console import print_json
from archwalk.cli.progress import print_step
from archwalk.cli.verbs import Verbs


def agents_app() -> Verbs:
    """The verbs below ``archwalk agents``."""
    app = Verbs("Agents in the box: list, show, path; train one's own.")
    app.add("list", agents_list)
    app.add("show", agents_show)
    app.add("path", agents_path)
    app.add("train", agents_train)
    return app


def agents_list(json: tyro.conf.FlagCreatePairsOff[bool] = False) -> None:
    """The agents in the box: trained before, for searches without any experience of one's own.

    Args:
        json: Print one JSON list, an object an agent.
    """
    from archwalk.searching.incontext.verbs import describe_agents

    rows = describe_agents()
    if json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}  ({row['bytes'] / 1e6:.1f} MB, {row['tasks']} measured tasks)")
        print(textwrap.fill(row["summary"], 100, initial_indent="    ", subsequent_indent="    "))
        print(f"    spaces: {', '.join(row['spaces'])}")


def agents_show(agent: tyro.conf.Positional[str], json: tyro.conf.FlagCreatePairsOff[bool] = False) -> None:
    """The card of an agent: what it learned from, how, and what it is good and bad at.

    Args:
        agent: box:NAME, or a file.
        json: Print one JSON object.
    """
    from archwalk.searching.incontext.box import open_agent

    card = asdict(open_agent(agent).card)
    print_card(card, ("name", "summary", "good", "bad", "command", "spaces"), json)
    if json:
        return
    print(f"training: {card['seconds'] / 60:.0f} minutes; {_settings(card['training'])}")
    for task in card["tasks"]:
        source = f" of {task['benchmark']} ({task['checksum'][:12]})" if task["benchmark"] else ""
        print(f"  {task['task']}{source}: {task['architectures']:,} architectures of {task['space']}")


def _settings(training: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in training.items() if not isinstance(value, dict))


def agents_path(agent: tyro.conf.Positional[str]) -> None:
    """Where the file of an agent is, to be copied to another machine.

    Args:
        agent: box:NAME, or a file.
    """
    from archwalk.searching.incontext.box import open_agent, path_of

    open_agent(agent)  # refuses what is none
    print(path_of(agent))


def agents_train(
    out: Path,
    benchmark: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    search: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    space: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    left_out: str = "",
    steps: int = 6_000,
    pretraining: int = 3_000,
    encoder: Literal["none", "frozen", "fine-tuned"] = "none",
    seed: int = 0,
    name: str = "",
    summary: str = "",
    good: str = "",
    bad: str = "",
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Train an agent for the method in-context, from everything at hand.

    Args:
        out: The file to write, NAME.safetensors.
        benchmark: A table by name or file, perhaps with @PROTOCOL and :task,task behind it. May be repeated.
        search: The folder of an earlier search. May be repeated.
        space: A space of which nothing is measured; its tasks are made up. May be repeated.
        left_out: Tasks of the benchmarks that are not learned from, with commas between them.
        steps: Lessons, of 16 tasks each.
        pretraining: Steps of the autoencoder, where there is one.
        encoder: Whether the encoder is pretrained as an autoencoder, and what becomes of it then.
        seed: Decides all randomness.
        name: Of the agent; the file's by default.
        summary: What it is for, for its card.
        good: What it is good at, as measured.
        bad: What it is bad at.
        json: Print the card as one JSON object.
    """
    from archwalk.searching.incontext.fitting import Training
    from archwalk.searching.incontext.verbs import train_agent

    training = Training(steps=steps, pretraining=pretraining, encoder=encoder, seed=seed)
    agent = train_agent(
        out,
        benchmarks=benchmark,
        searches=search,
        spaces=space,
        left_out=listed(left_out),
        training=training,
        name=name,
        summary=summary,
        good=good,
        bad=bad,
        command=typed(),
        say=print_step,
    )
    if json:
        print_json(asdict(agent.card))
    else:
        print(f"{out}: {agent.card.summary} archwalk search --method in-context@{out}")
