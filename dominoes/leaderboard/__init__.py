"""Which theory predicts what a network learns: tasks on frozen curves, theories that forecast them, scores."""
