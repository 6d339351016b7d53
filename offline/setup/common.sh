# Helpers of bin/setup: messages, checks, packages, downloads that stall.

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# step "what, how long it usually takes" command...: says so, runs it with its output in the log, says how long it took.
step() {
  local what=$1 start=$SECONDS
  shift
  say "$what"
  "$@" >>"$LOG" 2>&1 || return 1
  say "  done in $((SECONDS - start)) s"
}

# failed "message": the last lines of the log, then the one message.
failed() {
  tail -n 15 "$LOG" >&2 || true
  fail "$1 (whole output: $LOG)"
}

# need_space FOLDER: refuses to begin with less than 5 GB free, because what fills the disk half-way breaks more than it helps.
need_space() {
  local free
  free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
  ((free >= 5)) || fail "disk: got $free GB free at $1, want at least 5 GB"
}

# need_package PURPOSE PACKAGE...: installs Debian packages, or says what to install.
need_package() {
  local purpose=$1
  shift
  command -v apt-get >/dev/null || fail "$purpose: install $* with this system's package manager (only Debian's apt is known here), then run again"
  ((EUID == 0)) || fail "$purpose: run as root once, or install it yourself: apt-get install $*"
  need_space /
  export DEBIAN_FRONTEND=noninteractive
  if [[ -z ${APT_UPDATED:-} ]]; then
    step "reading Debian's package lists, about 10 s" apt-get update || failed "no package source: apt-get update fails"
    APT_UPDATED=1
  fi
  step "$purpose: installing $*, about 30 s" apt-get install -y --no-install-recommends "$@" ||
    failed "$purpose: apt-get install $* fails"
}

# Sum of the bytes that the processes of one group have read and written, by the kernel's count.
group_bytes() {
  local pid
  for pid in $(ps -o pid= -g "$1" 2>/dev/null); do cat "/proc/$pid/io" 2>/dev/null; done |
    awk '/^(rchar|wchar):/ { sum += $2 } END { printf "%d", sum }'
}

# while_moving command...: runs a download and ends it when it has not moved 64 kB in 10 s. A refusal returns at once.
while_moving() {
  local pid seen=0 now ticks=0 status=0
  set -m
  "$@" &
  pid=$!
  set +m
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    ((++ticks % 50 == 0)) || continue
    now=$(group_bytes "$pid")
    if ((now - seen < 65536)); then
      kill -- "-$pid" 2>/dev/null || true
      echo "no answer for 10 s: $*"
    fi
    seen=$now
  done
  wait "$pid" || status=$?
  return "$status"
}
