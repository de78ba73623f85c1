"""The text format of Prometheus, as prometheus-client writes and reads it.

The import takes 80 ms, most of it for web servers that are not used here: import this module where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from reconciler.daemon.metrics import Family, Histogram


def write_text(families: Mapping[str, Family | Histogram]) -> bytes:
    """Every family that has a series, in this order."""
    return generate_latest(_Collected(families))


def read_text(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample that is a number. Raises ValueError for text of another form."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [(each.name, dict(each.labels), each.value) for each in samples if math.isfinite(each.value)]


class _Collected(Collector):
    def __init__(self, families: Mapping[str, Family | Histogram]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return (_metric(name, family) for name, family in self._families.items() if family.series)


def _metric(name: str, family: Family | Histogram) -> Metric:
    series = sorted(family.series)
    if isinstance(family, Histogram):
        histogram = HistogramMetricFamily(name, family.text, labels=family.labels)
        for labels in series:
            counts = family.series[labels]
            buckets = list(zip(family.limit_texts, counts.within, strict=True))
            histogram.add_metric(labels, buckets, counts.sum)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(name, family.text, labels=family.labels)
    for labels in series:
        metric.add_metric(labels, family.series[labels])
    return metric
