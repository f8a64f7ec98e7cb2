"""S3PRL's own ``run_downstream.py`` with the streaming_wavlm upstreams: the same options, from this folder.

python3 run_downstream.py -m train -u streaming_wavlm_400ms -k checkpoint.pt -d voxceleb1 -n exp
python3 run_downstream.py -m evaluate -e result/downstream/exp
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))
# Threads that spin while they wait make a busy machine many times slower; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from streaming_wavlm.superb.launcher import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:], program="run_downstream.py"))
