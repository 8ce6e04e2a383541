"""Where a run happens: one process or several, and how the policy lies on the devices."""
