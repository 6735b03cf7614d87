#!/bin/sh
# A newer Blender than this Debian has, in a folder of its own, for the window tests:
#     tests/blender/blender_chroot.sh FOLDER && UNOCCLUDE_CHROOT=FOLDER python -m pytest tests/blender/test_window.py
# Needs root and `debootstrap`. /tmp is shared with it, where the tests leave what Blender reads.
set -eu
folder=$1
if [ ! -x "$folder/usr/bin/blender" ]; then
    debootstrap --variant=minbase trixie "$folder"
    chroot "$folder" apt-get install -y --no-install-recommends blender libgl1-mesa-dri libglx-mesa0
fi
mountpoint -q "$folder/proc" || mount --bind /proc "$folder/proc"
mountpoint -q "$folder/tmp" || mount --bind /tmp "$folder/tmp"
