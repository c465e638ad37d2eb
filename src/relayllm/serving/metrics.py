"""What Prometheus sees: tokens by author, calls, hand-overs, degraded answers, queue and slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relayllm.packaging.teacher_names import shown_teacher
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Author, Call, Ledger, Trace

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
WHICH = ["version", "alias"]

Gauges = Callable[[], Iterable[tuple[str, str, dict[str, str], float]]]


class Metrics:
    """The counters of one server. `gauges` is asked at every scrape: (name, help, labels, value)."""

    def __init__(self, gauges: Gauges = lambda: ()) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Gauges(gauges))

        def counter(name: str, text: str, labels: Iterable[str]) -> Counter:
            return Counter(name, text, list(labels), registry=self.registry)

        def histogram(name: str, text: str, labels: Iterable[str]) -> Histogram:
            return Histogram(name, text, list(labels), registry=self.registry, buckets=SECONDS)

        self.requests = counter("relay_requests_total", "HTTP requests by route and status", ["route", "status"])
        self.tokens = counter("relay_tokens_total", "Completion tokens by author", ["author", *WHICH])
        self.prompt_tokens = counter("relay_prompt_tokens_total", "Prompt tokens", WHICH)
        self.answers = counter("relay_answers_total", "Completions by reason of their end", ["stop_reason", *WHICH])
        self.calls = counter("relay_calls_total", "Calls of the teacher", ["failed", "teacher", *WHICH])
        self.cost = counter("relay_cost_total", "Cost of completions by price, in the currency of the prices",
                            ["price", *WHICH])
        self.degraded = counter("relay_degraded_total", "Completions that the student had to finish alone", WHICH)
        self.refused = counter("relay_refused_total", "Requests refused before they began", ["reason"])
        self.reloads = counter("relay_reloads_total", "Changes of the served version", ["result"])
        self.handover = histogram("relay_handover_seconds", "From hand-over to hand-back of one call", WHICH)
        self.first_token = histogram("relay_first_token_seconds", "From request to first token, of streams", WHICH)
        self.seconds = histogram("relay_answer_seconds", "From request to last token", WHICH)

    def count(self, trace: Trace, version: str, alias: str, *, prices: Prices, first: float,
              total: float, degraded: bool) -> None:
        """Count a completion that is over."""
        which = (version, alias)
        ledger = trace.ledger
        for author, tokens in ((Author.STUDENT, ledger.student_tokens), (Author.TEACHER, ledger.teacher_tokens),
                               (Author.COMMAND, ledger.command_tokens)):
            self.tokens.labels(author.value, *which).inc(tokens)
        self.prompt_tokens.labels(*which).inc(len(trace.prompt_ids))
        self.answers.labels(trace.stop_reason.value, *which).inc()
        for call in trace.calls:
            self.calls.labels(str(call.failed).lower(), shown_teacher(call.teacher), *which).inc()
            self.handover.labels(*which).observe(call.seconds)
        self.degraded.labels(*which).inc(degraded)
        self.count_cost(prices, ledger, version, alias, trace.calls)
        if first:
            self.first_token.labels(*which).observe(first)
        self.seconds.labels(*which).observe(total)

    def count_cost(self, prices: Prices, ledger: Ledger, version: str, alias: str, calls: Sequence[Call] = ()) -> None:
        """Count what was spent, by the price that it was paid at; nothing without prices."""
        for price, cost in (prices.parts(ledger, calls) if prices.known else {}).items():
            self.cost.labels(price, version, alias).inc(cost)

    def text(self) -> bytes:
        """The page at /metrics."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, read: Gauges) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, text, labels, value in self._read():
            family = families.setdefault(name, GaugeMetricFamily(name, text, labels=list(labels)))
            family.add_metric(list(labels.values()), value)
        return families.values()
