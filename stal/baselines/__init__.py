"""Rival detectors, one module each, under the contract of `stal.student.Detector`; each has `build` and `fit`."""
