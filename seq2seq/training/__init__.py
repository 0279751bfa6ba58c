"""Training.

`objective` (what is minimised, with `loss` fused with the output layer), `optim` (update rules and
schedules), `learner` (the weights and all that goes with them), `progress` and `log` (where
training is, and records of it), `seeding` (of what is random in an update) and the one loop,
`trainer`.
"""
