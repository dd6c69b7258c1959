"""Fitted members together: their combination and calibration."""
