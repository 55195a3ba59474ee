"""n-step transitions by walking over whole recorded walks, one step and one reward at a time."""

from __future__ import annotations


def brute_force_windows(steps: list[dict], n: int, discount: float) -> list[tuple]:
    """Transitions of one walk slot, in the order of the step that begins them.

    Args:
        steps: one dict a step, in time order: s, a, r, s_next, ended.
        n: longest window.
        discount: a step.

    Returns:
        (s_tm1, a_tm1, r_t, discount_t, s_t) of every step whose window is complete: n steps later, or at
        the end of its walk.
    """
    out = []
    for i in range(len(steps)):
        r, factor, complete = 0.0, 1.0, False
        last = None
        for k in range(n):
            if i + k >= len(steps):
                break
            step = steps[i + k]
            r += factor * step["r"]
            factor *= discount
            last = step["s_next"]
            complete = k == n - 1 or step["ended"]
            if step["ended"]:
                break
        if complete:
            out.append((steps[i]["s"], steps[i]["a"], r, factor, last))
    return out
