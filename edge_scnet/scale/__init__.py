"""Work on many processors: tasks with inputs by hash, on any `concurrent.futures.Executor`."""
