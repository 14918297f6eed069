"""The curriculum as a whole: draws and outcomes, its Ray actor, and the journal that outlives the actor."""
