#!/bin/sh
# Makes what peers prove to each other (DIR/secret) and what clients log in with (DIR/password), where there is none yet.
#
#   make-keys.sh DIR [UID]
#
# Both belong to UID (default: who runs this) and are readable by it alone: Chorus refuses a key that others may read.
# Existing files keep their content, so this may run at every start.
set -eu
directory=$1
owner=${2:-$(id -u)}
umask 077
mkdir -p "$directory"
make() {
  [ -s "$directory/$1" ] && return
  # Written aside and moved: a file cut short by a crash must not become the key.
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$directory/$1.new"
  mv "$directory/$1.new" "$directory/$1"
}
make secret
make password
chmod 400 "$directory/secret" "$directory/password"
if [ "$(id -u)" -eq 0 ]; then
  chown "$owner" "$directory" "$directory/secret" "$directory/password"
fi
