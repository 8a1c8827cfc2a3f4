"""Threads around the scheduler: requests come from any thread, and are told of by events."""
