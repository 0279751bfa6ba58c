"""Training.

`objective` (what is minimised, with `loss` fused with the output layer), `backward` (its gradients,
in the memory that there is), `optim` (update rules and schedules), `learner` (the weights and all
that goes with them), `feed` (a process' part of each batch), `seeding` (of what is random in an
update), `progress` and `log` (where training is, and records of it) and the one loop, `trainer`,
which `rehearsal` tries out.
"""
