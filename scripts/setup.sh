#!/usr/bin/env bash
# Makes .venv ready for `make demo` or `make test`; a second call that finds nothing to do is quick.
#
#   scripts/setup.sh demo|test
#
#   TORCH=cpu|cuda    which PyTorch; default: cuda when nvidia-smi answers
#   TORCH_INDEX=URL   a package index to take PyTorch from instead of pip's own
#   PYTHON=COMMAND    the Python to use; default: the first of 3.11 or newer
#   SYSTEM=no         never install system libraries, only name them
#
# Runs on bash 3.2, which macOS still has. It never waits for an answer or a password.
set -eu
cd "$(dirname "$0")/.."

PURPOSE=${1:-}
VENV=.venv
PINNED=requirements/pinned.txt
STAMP=$VENV/ready-for-$PURPOSE
NO_WINDOW=$VENV/no-window # tells the Makefile that the demo has to do without one
CPU_INDEX=https://download.pytorch.org/whl/cpu
TORCH_PAGE=https://pytorch.org/get-started/locally

say() { printf '%s\n' "$*" >&2; }
stop() {
    say "$*"
    exit 1
}

case $PURPOSE in
    demo | test) ;;
    *) stop "Say what for: scripts/setup.sh demo, or scripts/setup.sh test." ;;
esac

# ---- Python ----------------------------------------------------------------------------------

new_enough() { # a command may exist and still not run, so it is asked
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    stop "SelfSeg needs Python 3.11 or newer and ${PYTHON:-python3} here is" \
        "$("${PYTHON:-python3}" -c 'import platform; print(platform.python_version())' 2>/dev/null ||
            echo missing): install one from https://www.python.org/downloads, or name one with PYTHON=."
}

# ---- System libraries (Linux only: macOS brings what Qt needs) ---------------------------------

LIBRARIES="
libGL.so.1              libgl1
libEGL.so.1             libegl1
libglib-2.0.so.0        libglib2.0-0
libfontconfig.so.1      libfontconfig1
libdbus-1.so.3          libdbus-1-3
libxkbcommon-x11.so.0   libxkbcommon-x11-0
libxcb-cursor.so.0      libxcb-cursor0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-shape.so.0       libxcb-shape0"

missing_packages() { # the libraries are loaded to see, because their packages' names change
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-venv"
    fi
    if ! needs_window; then return; fi
    printf '%s\n' "$LIBRARIES" | "$python" -c '
import ctypes, sys
for line in filter(str.strip, sys.stdin):
    library, package = line.split()
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)'
    if ! ls /usr/lib*/dri/*_dri.so /usr/lib*/*/dri/*_dri.so /usr/lib*/*/libgallium-*.so \
        2>/dev/null | grep -q .; then
        echo libgl1-mesa-dri
    fi
    if needs_screen; then
        command -v Xvfb >/dev/null && command -v xvfb-run >/dev/null || echo xvfb
        command -v xauth >/dev/null || echo xauth
    fi
}

has_display() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }
needs_window() { [ "$PURPOSE" = test ] || has_display; }
needs_screen() { [ "$PURPOSE" = test ] && [ -z "${DISPLAY:-}" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    [ "${SYSTEM:-}" != no ] && command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

install_packages() {
    say "Installing what the system lacks: $*"
    as_root apt-get update -qq </dev/null >/dev/null || true # an old list may do
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@" </dev/null >/dev/null
}

check_system() {
    [ "$(uname -s)" = Linux ] || return 0
    missing=$(missing_packages | tr '\n' ' ')
    # shellcheck disable=SC2086  # one word per package
    if [ -n "$missing" ] && may_install && install_packages $missing; then
        missing=$(missing_packages | tr '\n' ' ')
    fi
    [ -n "$missing" ] || return 0
    say "This machine lacks: $missing"
    say "On Debian or Ubuntu:  sudo apt-get install -y --no-install-recommends $missing"
    say "Elsewhere your package manager has them under similar names; then run make $PURPOSE again."
    case "$PURPOSE $missing" in
        test* | *-venv*) exit 1 ;;
        *) without_window=yes ;;
    esac
}

# ---- PyTorch -----------------------------------------------------------------------------------

choose_torch() {
    if [ -n "${TORCH:-}" ]; then
        choice=$TORCH
    elif [ -s $VENV/torch-choice ]; then
        choice=$(cat $VENV/torch-choice)
    elif command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
        choice=cuda
    else
        choice=cpu
    fi
    case $choice in
        cpu | cuda) ;;
        *) stop "TORCH is cpu or cuda, not $choice." ;;
    esac
}

pip_install() { # shows its progress to a person, and only errors to a log
    quiet=
    [ -t 2 ] || quiet="--quiet --quiet"
    # shellcheck disable=SC2086  # two words
    "$VENV/bin/python" -m pip install --disable-pip-version-check $quiet "$@"
}

say_what_torch_costs() { # asks pip which build it would take, before anything large is fetched
    report=$("$VENV/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
        --dry-run --ignore-installed --no-deps --report - "$@") ||
        stop "There is no PyTorch for this Python and system here; see $TORCH_PAGE."
    printf '%s' "$report" | "$VENV/bin/python" -c '
import json, os, sys, urllib.request
choice, cpu_index = sys.argv[1:]
item = json.load(sys.stdin)["install"][0]
version, url = item["metadata"]["version"], item["download_info"]["url"]
needs = [need.lower() for need in item["metadata"].get("requires_dist", [])]
cuda = sys.platform == "linux" and any(n.startswith(("nvidia", "cuda", "triton")) for n in needs)
if url.startswith("file:"):
    path = urllib.request.url2pathname(url[len("file://"):].split("#")[0])
    print(f"PyTorch {version}: {os.path.getsize(path) / 1e6:.0f} MB from this machine.")
elif cuda:
    print(f"PyTorch {version} with CUDA: about 2.8 GiB to download.")
    if choice == "cpu":
        print("  The build without CUDA is about 0.2 GB. To take that one, stop with Ctrl-C and add"
              f"\n  TORCH=cpu TORCH_INDEX={cpu_index} to the command.")
else:
    print(f"PyTorch {version}: about 0.2 GB to download.")
if choice == "cuda" and not cuda:
    print("  It is a build without CUDA: training will run on the processor.")
' "$choice" "$CPU_INDEX" >&2
}

torch_there() { # its version without the build (+cpu, +cu128)
    "$VENV/bin/python" -c 'from importlib.metadata import version
print(version("torch").split("+")[0])' 2>/dev/null || true
}

install_torch() {
    before=$(cat $VENV/torch-choice 2>/dev/null || true)
    if [ -n "$before" ] && [ "$before" != "$choice" ]; then
        "$VENV/bin/python" -m pip uninstall --quiet --yes torch
    fi
    set -- "$(grep '^torch==' $PINNED)"
    if [ "torch==$(torch_there)" != "$1" ]; then
        if [ -n "${TORCH_INDEX:-}" ]; then set -- --index-url "$TORCH_INDEX" "$@"; fi
        say_what_torch_costs "$@"
        pip_install "$@" # before everything else: else its newest build, with CUDA, would come
    fi
    echo "$choice" >$VENV/torch-choice
}

# ---- All of it ---------------------------------------------------------------------------------

fingerprint() {
    cat pyproject.toml $PINNED scripts/setup.sh
    echo "$choice $PWD"
    "$VENV/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null || echo "no environment"
}

# An environment that works is kept: the Python it was made with may have left the PATH.
if new_enough $VENV/bin/python; then python=$VENV/bin/python; else python=$(find_python); fi
without_window=
choose_torch
check_system

wanted=$(fingerprint | cksum)
if [ "$(cat "$STAMP" 2>/dev/null || true)" != "$wanted" ]; then
    if ! $VENV/bin/pip --version >/dev/null 2>&1; then # none, half made, or moved elsewhere
        python=$(find_python)
        say "Making $VENV with $("$python" --version)."
        rm -rf $VENV
        "$python" -m venv $VENV
    fi
    pip_install "$(grep '^pip==' $PINNED)" # older ones cannot read dependency groups
    install_torch
    say "Installing napari and the rest: about 1.1 GB on disk besides PyTorch."
    if [ "$PURPOSE" = test ]; then
        pip_install --constraint $PINNED --editable ".[pyqt6]" --group dev
    else
        pip_install --constraint $PINNED --editable ".[pyqt6]"
    fi
    wanted=$(fingerprint | cksum)
    echo "$wanted" >"$STAMP"
fi

if [ -n "$without_window" ]; then
    say "Until then the demo runs without a window."
    touch $NO_WINDOW
else
    rm -f $NO_WINDOW
fi
