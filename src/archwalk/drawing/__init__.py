"""Pictures of architectures: graphs with operations in colour, declared spaces as a table of choices.

In: a space and a code. Out: SVG text or a PNG. Next: ``archwalk.reporting`` finds the space of a string, puts
pictures into reports, and has the verb ``draw``.
"""
