"""The report of a refinement: `page.py` works out the figures, `page.html` is their form."""
