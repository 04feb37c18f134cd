"""Work that takes its turn: a bounded queue for each device, jobs that report, stop, and are read by anyone."""

from lib.jobs.events import Event, EventLog
from lib.jobs.job import Job, JobResult, JobStatus
from lib.jobs.queue import JobQueue

__all__ = ["Event", "EventLog", "Job", "JobQueue", "JobResult", "JobStatus"]
