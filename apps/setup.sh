# What apps/run, tests/run and .ci/run share: install what is missing, configure, build. Bash sources this with $root
# set to the source folder; nothing in it writes to standard output.
#
# $GRADUS_BUILD (default: build) names the build folder, and $GRADUS_OPTIONS holds more options for `meson setup`. Once
# a folder is configured, only ninja decides what is to be done: nothing, or what a changed source asks for.

build=$root/${GRADUS_BUILD:-build}

say() { printf 'gradus: %s\n' "$*" >&2; }

# Debian package, and the command, header or file that tells that it (or its like on another system) is there.
requirements='g++                    c++
meson                  meson
ninja-build            ninja
pkg-config             pkg-config
libdnnl-dev            dnnl.hpp
libeigen3-dev          eigen3/Eigen/Core
doctest-dev            doctest/doctest.h
libcli11-dev           CLI/CLI.hpp
nlohmann-json3-dev     nlohmann/json.hpp
libstb-dev             stb/stb_image.h
libarchive-dev         archive.h
zlib1g-dev             zlib.h
libcurl4-openssl-dev   curl/curl.h
libjpeg62-turbo-dev    jpeglib.h
libbox2d-dev           box2d/box2d.h
libgif-dev             gif_lib.h
ca-certificates        /etc/ssl/certs/ca-certificates.crt'

have() {
  case $1 in
    /*) [ -e "$1" ] ;;
    */* | *.h | *.hpp) printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$1" | c++ -x c++ -E - >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# The rows of a table like `requirements` that are not met: installed with apt-get where there is one, named otherwise.
install_missing() {
  local package probe as_root=() missing=()
  while read -r package probe; do
    [ -z "$package" ] || have "$probe" || missing+=("$package")
  done <<<"$1"
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    [ -t 2 ] || as_root+=(-n)
  fi
  if ! command -v apt-get >/dev/null; then
    say "missing, and there is no apt-get to install it: ${missing[*]} (Debian's names); going on with what is there"
    return 0
  elif [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; then
    say "missing, and installing needs root or sudo: ${missing[*]}; going on with what is there"
    return 0
  fi
  apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >&2 </dev/null; }
  say "installing with apt-get: ${missing[*]}"
  apt-get install --simulate "${missing[@]}" >/dev/null 2>&1 || apt -q update
  apt -qy --no-install-recommends install "${missing[@]}" ||
    say "apt-get could not install all of it: ${missing[*]}; going on with what is there"
}

# Meets a table of requirements unless that was tried before for this build folder, and the folder was configured then.
install_once() {
  local stamp=$build/.installed-$1
  [ -e "$build/build.ninja" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ] && return
  install_missing "$2"
  printf '%s' "$2" >"$stamp"
}

# Configures unless that was done; a build folder that was copied or moved here is set up anew.
configure() {
  local command wipe=()
  if [ -e "$build/build.ninja" ]; then
    grep -qF "\"source\": \"$root\"" "$build/meson-info/meson-info.json" && return
    wipe=(--wipe)
  fi
  for command in c++ meson ninja; do
    have "$command" || { say "cannot build without $command"; return 1; }
  done
  # shellcheck disable=SC2086  # GRADUS_OPTIONS is a list of words
  meson setup "${wipe[@]}" ${GRADUS_OPTIONS:-} "$build" "$root" >&2
}

# prepare [TARGET...]: brings the build folder and these targets (default: all) up to date, one caller at a time.
prepare() {
  mkdir -p "$build" || return 1
  (
    if command -v flock >/dev/null; then flock 9; fi
    install_once build "$requirements"
    configure || exit 1
    # Asked first and quietly, so that a call that finds nothing to do prints nothing.
    ninja -C "$build" -n build.ninja "${@:-all}" 2>/dev/null | grep -q 'no work to do' ||
      ninja -C "$build" "${@:-all}" >&2
  ) 9>"$build/.lock"
}
