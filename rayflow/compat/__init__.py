"""Help for programs written for ``ray.workflow``; RayFlow itself does not use it."""
