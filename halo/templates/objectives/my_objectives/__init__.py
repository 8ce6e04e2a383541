"""Objectives for halo."""
