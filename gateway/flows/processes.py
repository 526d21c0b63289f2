"""The child processes that work for flows, and a tenant's use of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.children.memory_budget import MemoryBudget
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.flows.evaluation import Evaluator, build_evaluators
from gateway.flows.functions import FunctionCaller, build_functions
from gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowProcesses:
    """Evaluators, and processes for the functions of Python nodes."""

    evaluators: ChildPool
    functions: ChildPool
    budget: MemoryBudget

    def evaluator(self, tenant: str) -> Evaluator:
        """Return what evaluates and compiles for a tenant."""
        return Evaluator(self.evaluators, self.function_caller(tenant), tenant)

    def function_caller(
        self, tenant: str, *, before: Callable[[], Awaitable[object]] | None = None
    ) -> FunctionCaller:
        """Return what calls functions for a tenant, each after `before` has returned."""
        return FunctionCaller(self.functions, tenant, before)

    async def close(self) -> None:
        """Kill all processes; requests fail."""
        await asyncio.gather(self.evaluators.close(), self.functions.close())
        self.budget.close()


def build_flow_processes(settings: Settings, metrics: ChildMetrics) -> FlowProcesses:
    """Return the processes, none of which is started."""
    budget = MemoryBudget(settings.run / "child-memory", settings.child_memory_budget)
    return FlowProcesses(
        evaluators=build_evaluators(settings, metrics, budget),
        functions=build_functions(settings, metrics, budget),
        budget=budget,
    )
