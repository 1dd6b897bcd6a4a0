#!/bin/bash
export PYTHONPATH=/tmp/wt/h6.d/snap2 OMP_NUM_THREADS=2
flock /tmp/heavy.lock sh -c 'date; uptime; timeout 900 /work/main/.venv/bin/python /tmp/wt/h6.d/fulleval.py; uptime; date' > /tmp/wt/h6.d/full.log 2>&1
