"""Training-free metrics of networks: numbers of an untrained network and one batch of data.

In: an architecture of a space whose architectures are networks. Out: a number a metric. Read ``measures``
(what each metric computes), then ``measuring`` (a network and a batch for it). Next: the method ``robot``
searches by them, and ``archwalk proxies`` prints them.
"""

from archwalk.proxies.measures import PROXIES
from archwalk.proxies.measuring import Batch, measure_proxies

__all__ = ["PROXIES", "Batch", "measure_proxies"]
