"""Our instruments render the same text as prometheus-client's."""

from __future__ import annotations

import math

import prometheus_client as prometheus
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from telemetry.exposition import TEXT
from telemetry.instruments import BATCH_SIZES, LATENCY_SECONDS, Registry

AMOUNTS = st.floats(0, 1e6)
VALUES = st.one_of(st.floats(-10, 200), st.sampled_from([*LATENCY_SECONDS, math.inf]))
LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
"""Includes quotes, backslashes and newlines, which the text format escapes."""


def prometheus_text(registry: prometheus.CollectorRegistry) -> str:
    """Return prometheus-client's text without the creation times that it adds."""
    lines = prometheus.generate_latest(registry).decode().split("\n")
    return "\n".join(line for line in lines if "_created" not in line)


@given(st.lists(st.tuples(LABELS, AMOUNTS)))
def test_counters_render_as_in_prometheus_client(
    observed: list[tuple[str, float]],
) -> None:
    ours, registry = Registry(), prometheus.CollectorRegistry()
    mine = ours.counter("calls_total", 'Calls, "all"\nof them.', ("who",))
    other = prometheus.Counter("calls_total", 'Calls, "all"\nof them.', ["who"], registry=registry)
    for who, amount in observed:
        mine.child(who).add(amount)
        other.labels(who).inc(amount)
    assert ours.render().decode() == prometheus_text(registry)


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_gauges_render_as_in_prometheus_client(
    observed: list[tuple[str, float]],
) -> None:
    ours, registry = Registry(), prometheus.CollectorRegistry()
    mine = ours.gauge("depth", "Of the queue.", ("who",))
    other = prometheus.Gauge("depth", "Of the queue.", ["who"], registry=registry)
    for who, value in observed:
        mine.child(who).set(value)
        other.labels(who).set(value)
    assert ours.render().decode() == prometheus_text(registry)


@pytest.mark.parametrize("bounds", [LATENCY_SECONDS, BATCH_SIZES], ids=["latency", "batch"])
@given(observed=st.lists(st.tuples(LABELS, VALUES)))
def test_histograms_render_as_in_prometheus_client(
    bounds: tuple[float, ...], observed: list[tuple[str, float]]
) -> None:
    ours, registry = Registry(), prometheus.CollectorRegistry()
    mine = ours.histogram("wait_seconds", "Wait.", ("who", "how"), bounds)
    other = prometheus.Histogram(
        "wait_seconds", "Wait.", ["who", "how"], buckets=bounds, registry=registry
    )
    for who, value in observed:
        mine.child(who, "fast").observe(value)
        other.labels(who, "fast").observe(value)
    assert ours.render().decode() == prometheus_text(registry)


def test_a_registry_renders_its_families_in_order_with_their_types() -> None:
    registry = Registry()
    registry.counter("a_total", "A.").child().add()
    registry.gauge("b", "B.").child().set(-2.5)
    registry.histogram("c_seconds", "C.").child().observe(0.003)
    families = list(text_string_to_metric_families(registry.render().decode()))
    assert [(family.name, family.type) for family in families] == [
        ("a", "counter"),
        ("b", "gauge"),
        ("c_seconds", "histogram"),
    ]
    assert [(sample.name, sample.value) for sample in families[0].samples] == [("a_total", 1)]
    assert TEXT.content_type.startswith("text/plain; version=0.0.4")


def test_a_value_equal_to_a_bound_counts_below_it() -> None:
    histogram = Registry().histogram("h", "H.", bounds=(1.0, 2.0)).child()
    for value in (1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [1, 2, 1]
    assert histogram.total == 7.0


def test_the_same_labels_are_the_same_instrument() -> None:
    family = Registry().counter("calls_total", "Calls.", ("who",))
    family.child("a").add(2)
    family.child("a").add()
    assert family.child("a").value == 3
    assert family.child("b").value == 0


def test_a_removed_child_is_not_rendered() -> None:
    registry = Registry()
    family = registry.gauge("state", "State.", ("model",))
    family.child("iris").set(1)
    family.child("mlp").set(1)
    family.remove("iris")
    family.remove("never was")
    text = registry.render().decode()
    assert 'model="mlp"' in text
    assert "iris" not in text


def test_a_wrong_number_of_labels_is_refused() -> None:
    family = Registry().counter("calls_total", "Calls.", ("who", "how"))
    with pytest.raises(
        ValueError, match=r"calls: expected values for the labels \('who', 'how'\), got \('a',\)"
    ):
        family.child("a")


def test_a_name_can_be_registered_once() -> None:
    registry = Registry()
    registry.counter("calls_total", "Calls.")
    with pytest.raises(ValueError, match="metric calls is already registered"):
        registry.counter("calls", "Calls, again.")


def test_series_beyond_the_limit_are_not_rendered_but_counted_until_others_are_removed() -> None:
    registry = Registry(max_series=2)
    family = registry.counter("calls_total", "Calls.", ("who",))
    for who in ("a", "b", "c", "d", "a"):
        family.child(who).add()
    text = registry.render().decode()
    assert 'calls_total{who="a"} 2.0' in text
    assert 'who="c"' not in text
    assert 'metrics_series_dropped_total{metric="calls_total"} 2.0' in text
    registry.remove_series("who", "a")
    family.child("c").add()
    assert 'calls_total{who="c"} 1.0' in registry.render().decode()
