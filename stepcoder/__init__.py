"""StepCoder: reinforcement learning of code models from unit-test feedback.

In the repository the five folders of the package are links to those beside this one; an installed package holds them.
"""
