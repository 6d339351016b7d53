# Base image of all our images: in the engine, from a registry, or made of Debian's own packages under the same name.

BASE_IMAGE=${PGLADDER_BASE_IMAGE:-debian:trixie-slim}

setup_image() {
  local key tar
  docker image inspect "$BASE_IMAGE" >/dev/null 2>&1 && return 0
  need_space "$CACHE"
  if step "base image $BASE_IMAGE: asking its registry, within 10 s" registry_answers; then
    step "base image $BASE_IMAGE: pulling it, about 20 s" docker pull -q "$BASE_IMAGE" && return 0
  fi
  say "  cannot be pulled here"
  [[ $BASE_IMAGE == debian:trixie-slim ]] ||
    fail "base image: got $BASE_IMAGE, which no registry serves here; want debian:trixie-slim (it can be made from packages), or an image that is in the engine"
  command -v mmdebstrap >/dev/null || need_package "base image" mmdebstrap
  key=$(image_sources | sha256sum | cut -c1-12)
  tar=$CACHE/image/trixie-$key.tar
  if [[ ! -f $tar ]]; then
    step "base image $BASE_IMAGE: making it from Debian's packages, about 30 s" make_image "$tar" ||
      failed "the base image cannot be made: no package source for Debian trixie"
  fi
  step "base image $BASE_IMAGE: importing it, about 5 s" \
    docker import --change 'CMD ["bash"]' --change 'LABEL pgladder.made-by=offline' "$tar" "$BASE_IMAGE" ||
    failed "the engine does not take the base image"
}

registry_answers() {
  timeout 10 "$NODE" --input-type=module -e '
    import Docker from "'"$REPO"'/node_modules/dockerode/lib/docker.js";
    await new Docker().getImage(process.argv[1]).distribution();
  ' "$BASE_IMAGE"
}

# Debian's archive as this machine reaches it: the mirrors of its own sources, for trixie. Empty: mmdebstrap knows one.
image_sources() {
  local main security
  main=$(mirror 'security' -v)
  security=$(mirror 'security')
  [[ -z $main ]] || printf 'deb %s trixie main\ndeb %s trixie-updates main\n' "$main" "$main"
  [[ -z $security ]] || printf 'deb %s trixie-security main\n' "$security"
}

# mirror PATTERN [-v]: the first Debian mirror of this machine whose suite matches (or not).
mirror() {
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '^(bookworm|trixie|stable|oldstable)' | grep ${2:+"$2"} -- "^[a-z]*[-/]$1" | grep -v -- '-backports' | head -n 1 | cut -d' ' -f2 || true
}

make_image() {
  local folder options=() line
  folder=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$folder' '$1.part'" RETURN
  mkdir -p "$(dirname "$1")"
  image_sources >"$folder/sources"
  # The host's proxies hold inside too, because the images are built there.
  while read -r line; do options+=(--aptopt="$line"); done < <(apt-config dump --format '%F "%v";%n' Acquire::http::Proxy Acquire::https::Proxy | grep -v '""')
  if grep -q https: "$folder/sources"; then
    options+=(--include=ca-certificates)
    [[ -z $(find /usr/local/share/ca-certificates -name '*.crt' 2>/dev/null) ]] ||
      options+=(--customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share' --customize-hook='chroot "$1" update-ca-certificates')
  fi
  mmdebstrap --variant=minbase --format=tar "${options[@]}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$1.part" $([[ ! -s $folder/sources ]] || echo "$folder/sources") || return 1
  mv "$1.part" "$1"
}
