#!/bin/bash
# Builds an image of docker/ where no image registry is in reach: debootstrap makes the base, buildah builds the
# Dockerfile in chroot isolation. As root, with debootstrap and buildah installed.
#   docker/build_by_hand.sh docker/serving.Dockerfile aimass-serving
#   buildah --storage-driver vfs from --name try aimass-serving
#   buildah --storage-driver vfs run --isolation chroot try -- aimass --version
# Packages come from where this machine's apt and pip take them. STORE: folder of the images (default: buildah's own);
# these commands then take --root "$STORE", too. About 5 GB, and minutes, for each image; `buildah rmi` removes one.
set -euo pipefail
file=${1:?usage: docker/build_by_hand.sh DOCKERFILE IMAGE}
image=${2:?usage: docker/build_by_hand.sh DOCKERFILE IMAGE}
base=${BASE:-aimass-base}
suite=bookworm
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=(buildah --storage-driver vfs)
if [ -n "${STORE:-}" ]; then tool+=(--root "$STORE" --runroot "$work/run"); fi

if ! "${tool[@]}" inspect --type image "$base" > /dev/null 2>&1; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        "$suite" "$work/base" "$mirror"
    ln -sf python3 "$work/base/usr/bin/python"
    rm -rf "$work/base/var/cache/apt/archives"/*.deb "$work/base/var/lib/apt/lists"/*
    container=$("${tool[@]}" from scratch)
    "${tool[@]}" add --quiet "$container" "$work/base" /
    "${tool[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    "${tool[@]}" commit --quiet --rm "$container" "$base"
    rm -rf "$work/base"
fi

# pip's configuration of this machine, with the folders and certificates that it names
python3 - "$work" > "$work/mounts" <<'PYTHON'
import subprocess, sys
from pathlib import Path
lines = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
found, mounts = {}, set()
for line in lines.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.partition(".")
    value = value.strip("'")
    for word in value.split():
        path = Path(word.removeprefix("file://"))
        if word.startswith("file://"):
            mounts.add(str(path.parent))  # what an index links to lies beside it
        elif word.startswith("/"):
            mounts.add(word)
    found[key] = value
Path(sys.argv[1], "pip.conf").write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()))
print("\n".join(sorted(path for path in mounts if Path(path).exists() and path not in ("/", "/opt"))))
PYTHON
volumes=(--volume "$work/pip.conf:/etc/pip.conf:ro")
while IFS= read -r path; do
    if [ -n "$path" ]; then volumes+=(--volume "$path:$path:ro"); fi
done < "$work/mounts"
"${tool[@]}" build --isolation chroot --layers=false --build-arg "BASE=localhost/$base" "${volumes[@]}" \
    --file "$file" --tag "$image" .
"${tool[@]}" images "$image"
