"""The gate of CI: reports are compared with committed baselines."""
