# Pulumi CLI: on the PATH, in our cache, from Pulumi's own installer, or built from Go modules (offline/cli).
# Sets PULUMI_DIR to the folder to put on the PATH; empty when the one on the PATH is used.

CLI_LEAST=3.250.0
CLI_BUILT=3.259.0
GO_LEAST=1.25.11
PULUMI_DIR=

# at_least VERSION LEAST
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

setup_cli() {
  local key official built version
  if command -v pulumi >/dev/null; then
    version=$(pulumi version 2>/dev/null || true)
    at_least "${version#v}" "$CLI_LEAST" && return 0
    say "Pulumi CLI on the PATH: got $version, want $CLI_LEAST or newer; another one is used"
  fi
  key=$(cat "$REPO"/offline/cli/{go.mod,go.sum,tools.go} | sha256sum | cut -c1-12)
  official=$CACHE/pulumi/official-$(sed -n 's/.*"version": *"\(.*\)".*/\1/p' "$REPO/node_modules/@pulumi/pulumi/package.json" | head -n 1)
  built=$CACHE/pulumi/built-$CLI_BUILT-$key
  PULUMI_DIR=$official/bin
  [[ ! -x $PULUMI_DIR/pulumi ]] || return 0
  PULUMI_DIR=$built
  [[ ! -x $PULUMI_DIR/pulumi ]] || return 0
  mkdir -p "$CACHE/pulumi"
  need_space "$CACHE"
  if step "Pulumi CLI: downloading it, about 30 s; where downloads are blocked this ends within 10 s" install_official "$official"; then
    PULUMI_DIR=$official/bin
    return 0
  fi
  say "  cannot be downloaded here"
  need_go
  step "Pulumi CLI: building $CLI_BUILT from Go modules, about 4 minutes" build_cli "$built" ||
    failed "the Pulumi CLI cannot be built: is the Go module proxy reachable? Or install the CLI by hand and put it on the PATH"
}

install_official() {
  rm -rf "$1.part"
  while_moving "$NODE" --input-type=module -e '
    import { PulumiCommand } from "'"$REPO"'/node_modules/@pulumi/pulumi/automation/index.js";
    await PulumiCommand.install({ root: process.argv[1] });
  ' "$1.part" || { rm -rf "$1.part"; return 1; }
  [[ -x $1.part/bin/pulumi ]] || { rm -rf "$1.part"; return 1; }
  mv "$1.part" "$1"
}

need_go() {
  local version
  command -v go >/dev/null || need_package "Go compiler" golang-go ca-certificates
  version=$(go env GOVERSION)
  at_least "${version#go}" "$GO_LEAST" && return 0
  # From 1.21 on, Go fetches a newer compiler from the module proxy by itself.
  at_least "${version#go}" 1.21 || fail "Go: got ${version#go}, want $GO_LEAST or newer (or 1.21 or newer, which fetches it); Debian 12's own is too old"
  export GOTOOLCHAIN=go$GO_LEAST+auto
}

build_cli() {
  local version=github.com/pulumi/pulumi/sdk/v3/go/common/version.Version
  rm -rf "$1.part"
  mkdir -p "$1.part"
  (cd "$REPO/offline/cli" && go build -mod=readonly -trimpath -ldflags "-s -w -X $version=v$CLI_BUILT" \
    -o "$1.part/pulumi" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi) || { rm -rf "$1.part"; return 1; }
  mv "$1.part" "$1"
}
