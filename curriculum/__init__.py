"""What should be tried next, and from where: problems, their stages, and the draw of subtasks."""
