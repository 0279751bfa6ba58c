"""Training.

`loss` (fused with the output layer), `optim` (update rules and schedules), `log` (records and the
progress line) and the one loop, `trainer`.
"""
