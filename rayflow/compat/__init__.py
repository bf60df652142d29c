"""Help for programs written for ``ray.workflow``; nothing else in RayFlow imports it."""
