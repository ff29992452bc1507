"""Registers every engine, one line each."""

from ngf_hub.scans.engines.local import LocalEngine
from ngf_hub.scans.engines.ray import RayEngine

__all__ = ["LocalEngine", "RayEngine"]
