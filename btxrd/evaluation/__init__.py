"""Evaluate a trained model: inference, metrics, confidence intervals, tests and plots."""
