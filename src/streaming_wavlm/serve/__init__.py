"""Features of many live streams over WebSockets: one batched step for whoever has a chunk ready."""

from .limits import Limits
from .service import Service, build_service

__all__ = ["Limits", "Service", "build_service"]
