"""The reference application: each file is a list of steps over public names of `safeguards`."""
