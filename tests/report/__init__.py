"""Pictures and tables, from searches whose images are known in closed form."""
