"""What a model is judged by: one object per metric. Light to import: numpy comes where something is scored."""

from pipelines.metrics.registry import METRICS, Metric, MetricName, metrics_of

__all__ = ["METRICS", "Metric", "MetricName", "metrics_of"]
