"""Many people at once in front of the real bot: `python -m tests.faults.crowd`."""
