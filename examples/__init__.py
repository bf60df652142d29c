"""Complete workflows to run, read and copy from."""
