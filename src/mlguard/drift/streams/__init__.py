"""Has a stream changed? Detectors that are set by how often they may cry wolf."""

from __future__ import annotations

from mlguard.drift.streams.adwin import Adwin
from mlguard.drift.streams.detector import Change, Detector
from mlguard.drift.streams.e_detector import EDetector
from mlguard.drift.streams.many import Streams
from mlguard.drift.streams.page_hinkley import PageHinkley
from mlguard.drift.streams.river import from_river
from mlguard.drift.streams.scan import ScanGLR

__all__ = [
    "Adwin",
    "Change",
    "Detector",
    "EDetector",
    "PageHinkley",
    "ScanGLR",
    "Streams",
    "from_river",
]
