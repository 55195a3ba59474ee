"""``archwalk encoder``: encoders of architectures that learned without any measurement.

In: arguments. Out: a file, and what is in one. ``commands`` hangs it into the command line.
"""

from __future__ import annotations

from pathlib import Path

import tyro

from archwalk.cli.cards import print_card, typed
from archwalk.cli.console import print_json
from archwalk.cli.progress import print_step
from archwalk.cli.verbs import Verbs


def encoder_app() -> Verbs:
    """The verbs below ``archwalk encoder``."""
    app = Verbs("Encoders of architectures: pretrain, show.")
    app.add("pretrain", encoder_pretrain)
    app.add("show", encoder_show)
    return app


def encoder_pretrain(
    out: Path,
    space: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    benchmark: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    steps: int = 3_000,
    seed: int = 0,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Train an encoder as an autoencoder over the architectures of spaces, for --observation.encoder.

    Args:
        out: The file to write, NAME.safetensors.
        space: A space by name or declaration file. May be repeated.
        benchmark: A benchmark by name or file, whose space is taken. May be repeated.
        steps: Of the training.
        seed: Decides all randomness.
        json: Print the card as one JSON object.
    """
    from archwalk.training.encoders import pretrain_encoder

    card = pretrain_encoder(
        out,
        spaces=space,
        benchmarks=benchmark,
        steps=steps,
        seed=seed,
        command=typed(),
        say=print_step,
    )
    if json:
        print_json(card)
    else:
        print(f"{out}: {card['told_right']:.1%} of counts told right, {card['seconds']:.0f} s")


def encoder_show(
    encoder: tyro.conf.Positional[str], json: tyro.conf.FlagCreatePairsOff[bool] = False
) -> None:
    """The card of an encoder's file, with the digest of its weights.

    Args:
        encoder: Of an autoencoder or an in-context agent.
        json: Print all of it as one JSON object.
    """
    from archwalk.encoding.frozen import digest_of, read_encoder

    opened, card = read_encoder(Path(encoder))
    card = {"digest": digest_of(opened.state_dict()), "width": opened.width, **card}
    names = [name for name, value in card.items() if name == "spaces" or not isinstance(value, dict | list)]
    print_card(card, names, json)
