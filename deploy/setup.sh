#!/bin/sh
# Make the virtual environment: locked dependencies, and this tree as it is.
# Usage: setup.sh PYTHON VENV
set -eu
python=$1 venv=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or later is needed; $python is older. Name another with PYTHON=" >&2
  exit 2
}
if ! "$python" -m venv "$venv" 2> /dev/null; then
  # Debian ships venv apart; where we may, we install it
  sh "$(dirname "$0")/require.sh" python
  "$python" -m venv "$venv"
fi
echo "installing locked dependencies into $venv ..." >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes --requirement requirements.lock
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
