"""The whole of SUPERB on several upstreams, as a table and two pictures."""

from .maker import Outcome, make
from .plan import HEADS, RATES, Heads, Request

__all__ = ["HEADS", "RATES", "Heads", "Outcome", "Request", "make"]
