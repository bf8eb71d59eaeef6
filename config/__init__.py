"""Values of a deployment, no behaviour: queues, Celery, beat, policies, providers, rates."""
