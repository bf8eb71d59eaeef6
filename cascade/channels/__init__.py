"""Providers: one file each describes a wire format; `transport` is the only HTTP client."""
