"""The tiny world as a source: generated, the same bytes for the same seed."""

from __future__ import annotations

from relayllm.problems.catalogue import row
from relayllm.problems.sources.source import ProblemSet, SourceQuery


class TinyWorld:
    """Problems that the generator makes on demand."""

    def read(self, query: SourceQuery) -> ProblemSet:
        """Generate a training set or the held-out problems of one family."""
        from relayllm.problems.tiny_world import benchmark_problems, train_problems

        if query.training:
            problems = train_problems(query.limit, query.seed)
        else:
            problems = benchmark_problems(query.name, query.limit, query.seed)
        return ProblemSet(query.name, tuple(problems), "relayllm.problems.tiny_world", f"seed {query.seed}",
                          row(query.name).licence)
