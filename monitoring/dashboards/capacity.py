"""Hosts, processes and what they use up."""

from __future__ import annotations

from monitoring.panels import Dashboard, Panel
from monitoring.queries import quantiles, rate

_CORES = rate("process_cpu_seconds_total", "instance, process")

CAPACITY = Dashboard(
    "slipstream-capacity",
    "Slipstream: capacity and hosts",
    "What is left of processors, memory, places and connections.",
    (
        Panel(
            "Saturation",
            "percentunit",
            "Share in use of what calls and runs wait for at 100 %: the busiest process of "
            "a gateway, places for runs of type server and of workers, runs of a model that "
            "its inference servers may do at a time, and the fullest queue of one of them.",
            {
                "gateway {{instance}}": f"max by (instance) ({_CORES})",
                "worker {{instance}}": "max by (instance) (worker_busy / (worker_concurrency > 0))",
                "{{mode}} runs {{instance}}": "max by (instance, mode) "
                "(server_runs_busy / (server_runs_limit > 0))",
                "model {{model}}": f"{rate('inference_seconds_sum', 'model')} "
                "/ sum by (model) (inference_instances)",
                "queue {{model}}": "max by (model) (inference_queue_depth / inference_queue_limit)",
            },
            (1,),
        ),
        Panel(
            "Hosts",
            "short",
            "By state. The same in every gateway.",
            {"{{state}}": "max by (state) (hosts)"},
        ),
        Panel(
            "Gateways and workers",
            "short",
            "Processes of all machines by state.",
            {
                "{{kind}} {{state}}": "max by (kind, state) "
                "(sum by (instance, kind, state) (service_processes))"
            },
        ),
        Panel(
            "Inference servers",
            "short",
            "Models by the state of their inference server.",
            {
                "{{state}}": "sum by (state) (max by (model, version, state) "
                '(inference_server_state{job="slipstream"}))'
            },
        ),
        Panel(
            "Processor time",
            "short",
            "Cores that gateway processes use: 1 is the most that a process can.",
            {"{{instance}} {{process}}": _CORES},
        ),
        Panel(
            "Memory",
            "bytes",
            "Resident memory of gateway processes.",
            {
                "{{instance}} {{process}}": "sum by (instance, process) "
                "(process_resident_memory_bytes)"
            },
        ),
        Panel(
            "File descriptors",
            "percentunit",
            "Share that is open; at 100 %, connections are refused.",
            {
                "{{instance}} {{process}}": "max by (instance, process) "
                "(process_open_fds / process_max_fds)"
            },
            (0.8,),
        ),
        Panel(
            "Child processes",
            "short",
            "Evaluators, parsers and functions that work, and requests that wait for one.",
            {
                "busy {{program}}": "sum by (program) (child_processes_busy)",
                "waiting {{program}}": "sum by (program) (child_requests_waiting)",
            },
        ),
        Panel(
            "Stored runs",
            "bytes",
            "What runs and events take, and the limit above which new ones are refused.",
            {"stored": "max(run_storage_bytes)", "limit": "max(run_storage_limit_bytes)"},
        ),
        Panel(
            "Queries of the database",
            "s",
            "Duration of the gateways' queries.",
            quantiles("database_query_seconds"),
        ),
        Panel(
            "Failed queries and messages",
            "ops",
            "Errors of the database and the broker a second.",
            {
                "database {{instance}}": rate("database_errors_total", "instance"),
                "broker {{instance}}": rate("broker_errors_total", "instance"),
            },
        ),
        Panel(
            "Connections to the database",
            "short",
            "Of the pools of all gateways, by state.",
            {"{{state}}": "sum by (state) (database_connections)"},
        ),
        Panel(
            "Running versions",
            "short",
            "1 for each version of Slipstream that a host or a gateway runs. A host that was "
            "upgraded within the time that is shown has two.",
            {
                "{{host}} runs {{version}}": "max by (host, version) (host_info)",
                "gateway {{instance}} runs {{version}}": "max by (instance, version) "
                "(slipstream_build_info)",
            },
        ),
    ),
)
