"""S3PRL and SUPERB: our upstreams on S3PRL's hub, and S3PRL on stacks of today.

Importing this package adds the upstreams to ``s3prl.hub``: at once if it is loaded, else the moment it is.
That is the one import in this project that has an effect, and it loads neither torch nor S3PRL.
"""

from .hook import install
from .registration import register, register_if_loaded

__all__ = ["register"]

install()
register_if_loaded()
