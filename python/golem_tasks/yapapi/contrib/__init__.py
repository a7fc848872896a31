"""Additions to yapapi: the filter of providers. The proxies of services aren't available."""
