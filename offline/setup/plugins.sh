# Pulumi plugins: those in Pulumi's own cache or on the PATH, else downloaded, else the stand-ins of offline/.
# Sets PLUGIN_DIR to the folder of stand-ins to put on the PATH; empty when none is needed.

PLUGIN_DIR=

setup_plugins() {
  local name version path blocked dir=$REPO/.state/plugins missing=()
  blocked=$CACHE/plugins-blocked
  for name in random tls docker; do
    version=$(sed -n 's/.*"version": *"\(.*\)".*/\1/p' "$REPO/node_modules/@pulumi/$name/package.json" | head -n 1)
    [[ ! -d ${PULUMI_HOME:-$HOME/.pulumi}/plugins/resource-$name-v$version ]] || continue
    path=$(readlink -f "$(command -v "pulumi-resource-$name" || echo /none)")
    [[ $path == /none || $path == "$REPO/offline/bin/"* ]] || continue
    # A refusal is remembered for a day, so that a set-up which is ready stays quick.
    if [[ -z $(find "$blocked" -mmin -1440 2>/dev/null) ]]; then
      step "Pulumi plugin $name $version: downloading it, about 10 s; where downloads are blocked this ends within 10 s" \
        while_moving env PATH="${PULUMI_DIR:+$PULUMI_DIR:}$PATH" pulumi plugin install resource "$name" "v$version" && continue
      say "  cannot be downloaded here: stand-ins take the place of Pulumi's plugins (docs/offline.md)"
      touch "$blocked"
    fi
    missing+=("$name")
  done
  rm -rf "$dir"
  ((${#missing[@]} > 0)) || return 0
  mkdir -p "$dir"
  for name in "${missing[@]}"; do ln -s "$REPO/offline/bin/pulumi-resource-$name" "$dir/"; done
  PLUGIN_DIR=$dir
}
