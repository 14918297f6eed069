"""Reward functions for other trainers, judged in this process or by a server. docs/adapters.md shows each in use."""
