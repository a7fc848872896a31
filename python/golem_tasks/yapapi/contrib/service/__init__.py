"""Proxies of services, which aren't available."""
