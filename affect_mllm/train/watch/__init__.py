"""What watches a run: logs, pace, benchmarks, a watchdog."""
