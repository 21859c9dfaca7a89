"""Compiled inner loops, each held in the tests against its plain NumPy twin."""

from em_toolkit.kernels.choice import Plan, compiled, plan, plan_for

__all__ = ["Plan", "compiled", "plan", "plan_for"]
