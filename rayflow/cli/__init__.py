"""The `rayflow` command line. It never imports Django or Ray: it starts the parts as processes and
speaks to them.
"""
