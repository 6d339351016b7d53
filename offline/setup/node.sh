# Node packages. The project's own Node comes with them (npm package "node"); the system's only has to run npm once.

setup_node() {
  local lock stamp=$REPO/node_modules/.pgladder-lock
  lock=$(sha256sum <"$REPO/package-lock.json")
  [[ ! -x $NODE || ! -f $stamp || $(<"$stamp") != "$lock" ]] || return 0
  if [[ ! -x $NODE ]] || ! "$NODE" "$REPO/offline/setup/installed.ts" "$REPO"; then
    command -v npm >/dev/null || need_package "Node packages" nodejs npm
    need_space "$REPO"
    step "Node packages: npm ci, about 30 s" install_packages || failed "npm ci and npm install fail: no package source?"
  fi
  printf '%s\n' "$lock" >"$stamp"
}

# A registry that serves only some platforms makes npm ci refuse the lock file; npm install takes the same versions from it.
install_packages() (
  cd "$REPO"
  npm ci --no-fund --no-audit || npm install --no-save --no-fund --no-audit
)
