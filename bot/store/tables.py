"""The tables, as SQLAlchemy 2 declares them.

Times are UTC, timezone-aware in Python, stored as ISO text by `UtcDateTime`.
Knows nothing of Telegram's objects or of the model: ids and plain values only.
"""
