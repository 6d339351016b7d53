# Docker engine: used when it answers, else started, else installed (Debian) and started.

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

setup_engine() {
  if command -v docker >/dev/null && engine_answers; then return 0; fi
  [[ -z ${DOCKER_HOST:-} ]] || fail "Docker: no engine answers at DOCKER_HOST=$DOCKER_HOST"
  command -v dockerd >/dev/null || need_package "Docker engine" docker.io iptables
  command -v docker >/dev/null || need_package "Docker client" docker-cli
  engine_answers && return 0
  ((EUID == 0)) || fail "Docker: the engine does not answer; start it as root (systemctl start docker), and put this user into group docker"
  step "Docker engine: starting it, about 5 s" start_engine ||
    failed "the Docker engine does not start; a container or virtual machine must allow it (control groups, iptables)"
}

start_engine() {
  local pid=
  if [[ $(cat /proc/1/comm) == systemd ]]; then
    systemctl start docker
  else
    setsid dockerd >>"$LOG" 2>&1 9>&- &
    pid=$!
  fi
  for _ in $(seq 60); do
    engine_answers && return 0
    [[ -z $pid ]] || kill -0 "$pid" 2>/dev/null || return 1
    sleep 1
  done
  return 1
}
