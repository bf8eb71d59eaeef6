"""The receipt gateway: providers' webhooks, verified and committed before they are answered."""
