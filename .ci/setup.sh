#!/bin/sh
# Make the environment: setup.sh VENV READY CONSTRAINTS. READY is written last, so an interrupted set-up is noticed.
set -eu
venv=$1 ready=$2 constraints=$3

python=""
for candidate in python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 \
        && "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "d24fad_lite needs Python 3.11, 3.12 or 3.13; found: $(python3 --version 2>&1 || echo none). Install one and try again." >&2
    exit 1
fi

# A set-up that was stopped half way may have left a broken environment: begin anew unless pip in it answers.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    "$python" -m venv "$venv" || {
        echo "could not create $venv; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
fi
rm -f "$venv"/.ready-*
echo "setting up $venv with $("$python" --version) (PyTorch is large: the first time takes minutes)"
"$venv/bin/python" -m pip install --quiet -c "$constraints" -e ".[all]" || {
    echo "the tested versions of $constraints do not install here; trying the ranges of pyproject.toml" >&2
    "$venv/bin/python" -m pip install --quiet -e ".[all]"
}
touch "$ready"
echo "ready"
