"""What is known of each SUPERB task beyond S3PRL's own code for it."""

from .configs import CONFIGS, default_config
from .isolation import cache_folder
from .table import ALIASES, TASKS, find_task
from .task import DATA, Task

__all__ = ["ALIASES", "CONFIGS", "DATA", "TASKS", "Task", "cache_folder", "default_config", "find_task"]
