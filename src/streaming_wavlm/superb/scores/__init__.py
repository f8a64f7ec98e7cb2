"""Final figures of the SUPERB tasks, with the units they are made of and how sure they are."""

from .score import Metric, Score
from .table import read_table, table_path, write_table

__all__ = ["Metric", "Score", "read_table", "table_path", "write_table"]
