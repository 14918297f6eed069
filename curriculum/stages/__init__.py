"""How much of a solution is given: conditionals, courses, schedules, and how often a problem is drawn."""
