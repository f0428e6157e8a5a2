#!/usr/bin/env bash
# Prints the path of a bitcoind for the tests: $BITCOIND, else the one on PATH, else Debian's bitcoin-knots, fetched.
#
# Debian has it in sid. It is unpacked into .cache/bitcoind with the libraries it needs and runs through its own loader,
# so the system is not touched and no root is needed; the bitcoin-cli of that version stands beside it. apt gets it from
# this machine's own mirror, into lists of our own, and checks signatures; hashes follow from there. .cache/bitcoind/VERSION
# says what was fetched. Talk is on standard error; where none can be had, its last line says why and the exit status is 1.
set -euo pipefail

say() { printf 'bitcoind: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
works() { "$1" -version </dev/null 2>/dev/null | head -n 1 | grep -q .; }

if [[ -n ${BITCOIND:-} ]]; then
    program=$(command -v "$BITCOIND") && works "$program" || fail "BITCOIND=$BITCOIND is no bitcoind that runs here"
    realpath -s "$program"
    exit 0
fi
if program=$(command -v bitcoind); then
    works "$program" || fail "$program on PATH does not run; set BITCOIND to another"
    realpath -s "$program"
    exit 0
fi

cd "$(dirname "$0")/.."
readonly PLACE=$PWD/.cache/bitcoind
readonly PACKAGE=bitcoin-knots
readonly SUITE=sid
readonly KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
readonly ATTEMPTS=3

missing=()
for tool in apt-get apt-cache dpkg-deb flock; do
    command -v $tool >/dev/null || missing+=($tool)
done
((${#missing[@]} == 0)) || fail "none on PATH, and fetching one needs Debian's tools (${missing[*]}); set BITCOIND"
[[ -f $KEYS ]] || fail "none on PATH, and fetching one needs Debian's archive keys ($KEYS); set BITCOIND"

mkdir -p .cache
exec 9>.cache/bitcoind.lock
flock 9
if [[ -x $PLACE/bitcoin-cli ]] && works "$PLACE/bitcoind"; then
    echo "$PLACE/bitcoind"
    exit 0
fi

work=$(mktemp -d "$PWD/.cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache/archives,debs}/partial "$work"/root

# Everything of apt's that has state is our own; what is installed here is not looked at, so every library is named.
options=(
    -qq
    -o "Dir::Etc::SourceList=$work/debian.sources"
    -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null
    -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State=$work"
    -o "Dir::State::Lists=$work/lists"
    -o Dir::State::Status=/dev/null
    -o Dir::State::Extended_States=/dev/null
    -o "Dir::Cache=$work/cache"
    -o "APT::Sandbox::User=$(id -un)"
    -o APT::Install-Recommends=false
    -o APT::Update::Error-Mode=any
    -o APT::Get::AllowUnauthenticated=false
    -o Acquire::AllowInsecureRepositories=false
    -o Acquire::AllowWeakRepositories=false
    -o Acquire::Languages=none
    -o Acquire::Retries=2
    -o Acquire::http::Timeout=30
    -o Acquire::https::Timeout=30
)

# The mirrors this machine uses itself, the main archive's before others. Which of them has the suite shows itself.
mirrors() {
    apt-get -o APT::Get::IndexTargets::ReleaseInfo=false indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' |
        awk '!seen[$0]++ { print (/\/debian\/?$/ ? 0 : 1), $0 }' | sort -s -k 1,1 | cut -d ' ' -f 2-
}

use_mirror() {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$1" $SUITE $KEYS >"$work/debian.sources"
    apt-get "${options[@]}" update
}

# The libraries among the package's own dependencies and all that these need; not its service's (debconf, systemd).
wanted() {
    local libraries
    libraries=$(apt-cache "${options[@]}" depends --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances $PACKAGE | awk '$1 == "Depends:" && $2 ~ /^lib/ { print $2 }')
    [[ -n $libraries ]] || return 1
    # shellcheck disable=SC2086 # names, one a word
    apt-get "${options[@]}" --simulate install $libraries | awk '$1 == "Inst" { print $2 }'
}

fetch() {
    local packages
    packages=$(wanted) || return 1
    # shellcheck disable=SC2086 # names, one a word
    (cd "$work/debs" && apt-get "${options[@]}" download $packages $PACKAGE)
}

try() {
    local mirror
    while read -r mirror; do
        use_mirror "$mirror" && fetch && return 0
    done < <(mirrors)
    return 1
}

[[ -n $(mirrors) ]] || fail "none on PATH, and apt knows no mirror on this machine to fetch one from; set BITCOIND"
is_fetched=false
for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
    say "fetching Debian's $PACKAGE ($SUITE), attempt $attempt of $ATTEMPTS"
    if try 2>"$work/talk" 9>&-; then
        is_fetched=true
        break
    fi
    ((attempt == ATTEMPTS)) || sleep $((attempt * 2))
done
if [[ $is_fetched == false ]]; then
    # No address of a mirror is shown: it may hold a password.
    say "$(sed -E 's#[a-z+]+://[^ ]*#(mirror)#g' "$work/talk" | grep -v '^$' | tail -n 1)"
    fail "none on PATH, and none could be fetched from this machine's Debian mirror; set BITCOIND"
fi

for deb in "$work"/debs/*.deb; do
    dpkg-deb --extract "$deb" "$work/root"
done
loader=$(cd "$work/root" && find . -name 'ld-linux*.so.*' -print -quit)
[[ -n $loader ]] || fail "the fetched C library has no loader for this machine"
libraries=$(cd "$work/root" && find . -regex '.*/lib[^/]*\.so\.[0-9.]*' -printf '%h\n' | sort -u | sed 's#^\.#$here/root#' | paste -s -d :)
for program in bitcoind bitcoin-cli; do
    cat >"$work/$program" <<WRAPPER
#!/bin/sh
# Runs the $program beside this file through its own loader, on its own libraries.
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/root/${loader#./}" --library-path "$libraries" "\$here/root/usr/bin/$program" "\$@"
WRAPPER
    chmod +x "$work/$program"
done
works "$work/bitcoind" || fail "the fetched bitcoind does not run here: $("$work/bitcoind" -version 2>&1 | tail -n 1)"

for deb in "$work"/debs/*.deb; do
    dpkg-deb --show --showformat '${Package} ${Version} ${Architecture}\n' "$deb"
done | sort >"$work/VERSION"
rm -rf "$PLACE" "$work"/{lists,cache,debs,debian.sources,talk}
chmod 755 "$work"
mv "$work" "$PLACE"
say "fetched $(grep "^$PACKAGE " "$PLACE/VERSION")"
echo "$PLACE/bitcoind"
