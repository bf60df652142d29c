"""`rayflow up`: one whole instance on one machine, its parts started, watched, restarted and
stopped as processes.
"""
