"""Celery's settings, each with its reason. Times in seconds."""

from __future__ import annotations

from cascade.dispatch import PUBLISH_RETRY
from config.beat import SCHEDULE
from config.queues import QUEUES, ROUTES


SETTINGS: dict[str, object] = {
    # Pickle would be code execution for anyone who can write to the broker.
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    # State lives in PostgreSQL; a result backend would be load and one more thing to break.
    "task_ignore_result": True,
    # A crash gives the hint again, which is harmless: claims see to that.
    "task_acks_late": True,
    # True would loop without end on a task that kills its worker; the tick recovers instead.
    "task_reject_on_worker_lost": False,
    # A failed or hung task is done with: False would drop or repeat it for ever.
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    # The last line only: claiming, calls and statements are bounded each, far below. There is no
    # soft limit, since it raises at any bytecode, in the middle of a rule or of a settlement.
    "task_time_limit": 45,
    # With late acknowledgement nobody hoards, and slow channels are fair to each other.
    "worker_prefetch_multiplier": 1,
    # A typo must not open a queue that nobody serves.
    "task_create_missing_queues": False,
    "task_queues": QUEUES,
    "task_routes": ROUTES,
    "task_default_queue": "config.sync",
    # Bounds leaks.
    "worker_max_tasks_per_child": 2000,
    "worker_max_memory_per_child": 300_000,  # kilobytes
    # True would kill a call in flight on each blip of the broker: manufactured ambiguity.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Workers outlive any outage of the broker; the default gives up after 100 tries.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,  # Redis says READONLY after a failover
    "broker_pool_limit": 10,
    "broker_pool_acquire_timeout": 5,  # the default waits for ever
    "broker_connection_timeout": 3,
    # Publishing must not hang: the tick publishes again what did not get through.
    "task_publish_retry_policy": PUBLISH_RETRY,
    "worker_consumer": "workers.consumer:CascadeConsumer",
    # A warm stop lets calls end; a second line for stops that are not warm.
    "worker_soft_shutdown_timeout": 15,
    # Flower lives on events; one covers up to 200 messages, so they cost nearly nothing.
    "worker_send_task_events": True,
    "task_send_sent_event": False,
    "worker_hijack_root_logger": False,
    "timezone": "UTC",
    "enable_utc": True,
    "beat_schedule": SCHEDULE,
    # Every entry is due within a minute: there is nothing worth keeping in a schedule file.
    "beat_scheduler": "celery.beat:Scheduler",
    "beat_max_loop_interval": 1,
}

# What only one kind of broker has; each comes on top of SETTINGS.
ON_REDIS: dict[str, object] = {
    # A worker takes a task only when a child is free for it, in the order of its queues.
    "worker_disable_prefetch": True,
}
ON_AMQP: dict[str, object] = {
    # An exclusive queue would belong to one connection: a worker that is started again while the
    # broker still believes in the old one's connection dies of it. These expire instead.
    "control_queue_exclusive": False,
    "control_queue_durable": True,
}
