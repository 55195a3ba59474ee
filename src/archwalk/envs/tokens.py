"""Tokens as the settings ask for them, whichever module makes them.

In: a table or a space, ``ObservationSettings``. Out: a ``TokenTable``, or ``Tokens`` made on the spot. Next:
``build`` and ``multitask`` give them to processes.
"""

from __future__ import annotations

from archwalk.config import ObservationSettings, Settings
from archwalk.encoding.frozen import digest_of_place, open_encoder, settled_place
from archwalk.encoding.tokens import EncodedTokens, encoded_table
from archwalk.errors import SettingsError
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.tokens import TokenEncoder, Tokens, TokenTable, make_tokens
from archwalk.tasks.table import Benchmark


def table_tokens(benchmark: Benchmark, settings: ObservationSettings) -> TokenTable:
    """Tokens of every architecture of a table, in its order.

    Raises:
        SettingsError: an encoder that cannot be opened.
    """
    if settings.tokens == "encoded":
        return encoded_table(benchmark.space, open_encoder(settings.encoder), benchmark.rows)
    return make_tokens(benchmark.space, settings.tokens, benchmark.rows)


def open_tokens(space: SearchSpace, settings: ObservationSettings) -> Tokens:
    """Tokens of any architecture of a space.

    Raises:
        SettingsError: an encoder that cannot be opened.
    """
    if settings.tokens == "encoded":
        return EncodedTokens(space, open_encoder(settings.encoder))
    return TokenEncoder(space, settings.tokens)


def token_length(space: SearchSpace, settings: ObservationSettings) -> int:
    """Features of a token of a space. Raises ``SettingsError`` as ``open_tokens``."""
    return open_tokens(space, settings).features


def settled(settings: Settings) -> Settings:
    """Settings that say which weights their encoder has: the digest stands behind its place.

    Raises:
        SettingsError: an encoder that cannot be opened, or whose weights are not those of a digest given.
    """
    if settings.observation.tokens != "encoded":
        return settings
    return settings.replace(observation={"encoder": settled_place(settings.observation.encoder)})


def same_tokens(a: ObservationSettings, b: ObservationSettings) -> bool:
    """Whether two settings show architectures alike: an encoder by its weights, wherever its file lies."""
    return a.tokens == b.tokens and digest_of_place(a.encoder) == digest_of_place(b.encoder)


def check_plain(tokens: str) -> None:
    """Refuse encoded tokens where other libraries' networks look, which are promised numbers from 0 to 1.

    Raises:
        SettingsError: as said.
    """
    if tokens == "encoded":
        raise SettingsError(
            "tokens slots or graph, whose numbers are 0 and 1", tokens, "use 'archwalk train'"
        )
