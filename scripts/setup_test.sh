#!/usr/bin/env bash
# Tests scripts/setup, and what scripts/bench-peers and the Makefile say where they cannot begin, without a
# network: apt-get, npm, mvn, sudo and python3 are stand-ins that write down how they were called. Everything
# else (sha256, tar, the headers and go of this machine) is real.
set -uo pipefail

setup=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/setup
readonly setup
script=$setup
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fresh begins a case: an empty build folder, a PATH of stand-ins and this machine's tools, an OpenCV.
fresh() {
  case_name=$1
  script=$setup
  rm -rf "$work"
  mkdir -p "$work"/{bin,ocv/include/opencv4/opencv2/core,ocv/lib}
  local tool
  for tool in bash sh cat chmod chown cp cut env find grep head id ln ls mkdir mktemp mv paste printf rm sed \
    sha256sum sort stat tail tar touch tr uname wc dirname gzip go g++ pkg-config; do
    ln -s "$(command -v "$tool" || echo /nowhere/"$tool")" "$work/bin/$tool"
  done
  local module
  for module in core imgproc imgcodecs videoio; do
    touch "$work/ocv/include/opencv4/opencv2/$module.hpp"
  done
  opencv_version 4 10
  echo library >"$work/own.so"
  touch "$work/calls" "$work/ca.crt"
}

opencv_version() {
  printf '#define CV_VERSION_MAJOR    %s\n#define CV_VERSION_MINOR    %s\n' "$1" "$2" \
    >"$work/ocv/include/opencv4/opencv2/core/version.hpp"
}

# stand_in NAME puts a program on PATH that writes down its call and then runs the given script.
stand_in() {
  printf '#!/bin/bash\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$work" "${2:-:}" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# setup_with runs scripts/setup with the environment given before --, on the stand-ins' PATH only.
setup_with() {
  local environment=()
  while [[ $1 != -- ]]; do environment+=("$1"); shift; done
  shift
  output=$(env -i HOME=/nonexistent GOPATH="$work/gopath" PATH="$work/bin" SIGHTLINE_BUILD="$work/build" \
    GOCACHE="${GOCACHE:-$work/gocache}" SIGHTLINE_CA_FILE="$work/ca.crt" "${environment[@]}" \
    XDG_CACHE_HOME="$work/cache" bash "$script" "$@" 2>&1)
  code=$?
}

# checkout makes the script one of a small checkout, with other pins: a library and jars of a few bytes, which
# the stand-ins of npm and mvn bring.
checkout() {
  local tree=$work/tree package=$work/npm/package arch
  mkdir -p "$tree"/{scripts,cloud/e2e/servers/kafka} "$work/jars"
  cp "${setup%/*}/../go.mod" "$tree/"
  for arch in x64 arm64; do
    mkdir -p "$package/bin/napi-v6/linux/$arch"
    echo "onnxruntime" >"$package/bin/napi-v6/linux/$arch/libonnxruntime.so.1"
  done
  tar -czf "$work/npm.tgz" -C "$work/npm" package
  sed -e "s/^\(readonly ort_package_sha256\)=.*/\1=$(sha256sum "$work/npm.tgz" | cut -d' ' -f1)/" \
    -e "s/^\(readonly ort_\(x\|arm\)64_sha256\)=.*/\1=$(echo onnxruntime | sha256sum | cut -d' ' -f1)/" \
    "$setup" >"$tree/scripts/setup"
  script=$tree/scripts/setup
  stand_in npm "cp '$work/npm.tgz' onnxruntime-node-1.24.1.tgz"
  echo "<project/>" >"$tree/cloud/e2e/servers/kafka/pom.xml"
  echo broker >"$work/jars/kafka_2.13-0.jar"
  echo client >"$work/jars/kafka-clients-0.jar"
  (cd "$work/jars" && sha256sum ./*.jar) >"$tree/cloud/e2e/servers/kafka/jars.sha256"
  stand_in java 'echo "openjdk version \"17.0.1\"" >&2'
  stand_in mosquitto
  stand_in mvn "for a in \"\$@\"; do case \$a in -DoutputDirectory=*) mkdir -p \"\${a#*=}\"; cp '$work'/jars/*.jar \"\${a#*=}\";; esac; done"
}

# tree_setup puts a scripts/setup into the tree that writes down its call and then runs the given script.
tree_setup() {
  mkdir -p "$work/tree/scripts"
  printf '#!/bin/bash\necho "scripts/setup $*" >>"%s/calls"\n%s\n' "$work" "${1:-:}" >"$work/tree/scripts/setup"
  chmod +x "$work/tree/scripts/setup"
}

# as_owner has everything there already, by the environment.
as_owner() { setup_with SIGHTLINE_ONNXRUNTIME="$work/own.so" SIGHTLINE_OPENCV_PREFIX="$work/ocv" -- "$@"; }

wrong() { echo "FAIL: $case_name: $1"; echo "    ${output//$'\n'/$'\n'    }"; failures=$((failures + 1)); }
expect_code() { [[ $code == "$1" ]] || wrong "exit $code, not $1"; }
expect_says() { [[ $output == *"$1"* ]] || wrong "does not say: $1"; }
expect_lines() { [[ $(wc -l <<<"$output") == "$1" ]] || wrong "says $(wc -l <<<"$output") lines, not $1"; }
expect_called() { grep -Fq -- "$1" "$work/calls" || wrong "did not call: $1"; }
expect_idle() { [[ ! -s $work/calls ]] || wrong "called $(<"$work/calls")"; }

fresh "what the environment names is used, and nothing is fetched"
as_owner
expect_code 0
expect_idle
grep -q "own.so" "$work/build/env.sh" || wrong "env.sh lacks the user's ONNX Runtime"
grep -q "$work/ocv/include/opencv4" "$work/build/env.sh" || wrong "env.sh lacks the user's OpenCV"
output=$(env -i bash -c ". '$work/build/env.sh'; echo \"\$CGO_CXXFLAGS\"")
expect_says "-DOPENCV_ALL_HPP -include opencv2/core.hpp -include opencv2/imgproc.hpp -include opencv2/imgcodecs.hpp -include opencv2/videoio.hpp"

case_name="the compiler's flags name no checkout, so that Go's cache serves all"
output=$(env -i bash -c ". '$work/build/env.sh'; env" | grep -E '^(CGO_|GOFLAGS)')
expect_lines 4
[[ $output != *"$work/build"* ]] || wrong "a flag names the checkout"

case_name="a second run changes nothing and takes less than a second"
before=$(find "$work/build" -type f -exec stat -c '%n %Y %s' {} + | sort)
begin=${EPOCHREALTIME/[.,]/}
as_owner
spent=$((${EPOCHREALTIME/[.,]/} - begin))
expect_code 0
expect_lines 1
expect_says "setup: nothing is missing"
[[ $(find "$work/build" -type f -exec stat -c '%n %Y %s' {} + | sort) == "$before" ]] || wrong "files changed"
((spent < 3000000)) || wrong "took $spent µs" # three times the promise: other tests share the machine

case_name="env.sh survives a shell and a later choice of the user wins"
output=$(env -i SIGHTLINE_ONNXRUNTIME=/later.so bash -c ". '$work/build/env.sh'; echo \"\$SIGHTLINE_ONNXRUNTIME|\$CGO_CPPFLAGS\"")
expect_says "/later.so|'-I$work/ocv/include/opencv4'"

case_name="a library that env.sh named is not taken for the user's own"
setup_with SIGHTLINE_ONNXRUNTIME="$work/build/onnxruntime/libonnxruntime.so.1" SIGHTLINE_OPENCV_PREFIX="$work/ocv" -- --dry-run
expect_says "would be fetching ONNX Runtime"

fresh "a wrong checksum is refused in one sentence"
stand_in npm "echo evil > onnxruntime-node-1.24.1.tgz"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 1
expect_says "onnxruntime-node-1.24.1.tgz has sha256 "
expect_says "it was not installed"
expect_lines 2 # what it began, and why it stopped
[[ ! -e $work/build/onnxruntime ]] || wrong "installed it all the same"
[[ -z $(find "$work/build" -name '.setup.*') ]] || wrong "left its scratch folder"

fresh "a damaged library is fetched again"
mkdir -p "$work/build/onnxruntime" && echo torn >"$work/build/onnxruntime/libonnxruntime.so.1"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" -- --dry-run
expect_says "would be fetching ONNX Runtime"

fresh "without a network npm's failure says what to do"
stand_in npm "echo 'npm error network ENOTFOUND' >&2; exit 1"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 1
expect_says "npm could not fetch onnxruntime-node@1.24.1: check the network, or set SIGHTLINE_ONNXRUNTIME"
expect_called "npm pack onnxruntime-node@1.24.1"

fresh "without a network apt's failure says what to do"
stand_in apt-get '[[ $* != *install* ]]'
stand_in sudo 'exec "$@"'
rm "$work/bin/g++"
as_owner
expect_code 1
expect_says "installing with apt: g++"
expect_says "apt could not install g++: check the network"

fresh "apt brings exactly what is missing, without recommends"
stand_in apt-get
stand_in sudo 'exec "$@"'
rm "$work/bin/g++" "$work/ca.crt"
as_owner
expect_code 0
expect_called "install -y --no-install-recommends g++ ca-certificates"

fresh "a dry run changes nothing"
rm "$work/bin/g++"
stand_in npm
stand_in mvn
stand_in apt-get
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" -- --dry-run --tests
expect_code 0
expect_says "would be installing with apt: g++"
expect_says "would be fetching ONNX Runtime 1.24.1"
expect_says "would be fetching Apache Kafka"
expect_idle
[[ ! -e $work/build ]] || wrong "made the build folder"

fresh "what was fetched is kept, and the next checkout takes it without npm"
checkout
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 0
expect_called "npm pack onnxruntime-node@1.24.1"
expect_says "setup: keeping a copy of ONNX Runtime for other checkouts: $work/cache/sightline/onnxruntime-1.24.1-"
kept=$(echo "$work"/cache/sightline/*)
rm -r "$work/build" "$work/bin/npm"
stand_in apt-get
: >"$work/calls"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 0
expect_idle # nor does apt bring npm
expect_says "setup: taking ONNX Runtime 1.24.1 into $work/build/onnxruntime from $kept (sha256 checked again)"
[[ $(<"$work/build/onnxruntime/libonnxruntime.so.1") == onnxruntime ]] || wrong "the library is another"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_says "setup: nothing is missing"

case_name="a checkout that has the library leaves a copy, too"
rm "$kept"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" -- --dry-run
expect_says "would be keeping a copy"
[[ ! -e $kept ]] || wrong "the dry run kept one"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 0
[[ $(<"$kept") == onnxruntime ]] || wrong "kept no copy"

case_name="a damaged copy is not taken, and replaced"
rm -r "$work/build"
echo torn >"$kept"
stand_in npm "cp '$work/npm.tgz' onnxruntime-node-1.24.1.tgz"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 0
expect_called "npm pack onnxruntime-node@1.24.1"
expect_says "removing $kept, which is damaged"
[[ $(<"$work/build/onnxruntime/libonnxruntime.so.1") == onnxruntime ]] || wrong "took the damaged copy"
[[ $(<"$kept") == onnxruntime ]] || wrong "left the damaged copy"

fresh "a place that takes no copy is said and no failure"
checkout
touch "$work/cache"
setup_with SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 0
expect_says "no copy is kept: $work/cache/sightline cannot be written"
[[ -f $work/build/onnxruntime/libonnxruntime.so.1 ]] || wrong "installed nothing"

fresh "--tests asks Maven for Kafka once"
checkout
as_owner --tests
expect_code 0
expect_called "mvn -q -B -C -f"
[[ -f $work/build/kafka/libs/kafka_2.13-0.jar ]] || wrong "no jars"
: >"$work/calls"
as_owner --tests
expect_lines 1
if grep -q '^mvn' "$work/calls"; then wrong "fetched Kafka again"; fi

# again changes something of an installed Kafka, which must then be fetched once more.
again() {
  case_name="--tests asks Maven again where $1"
  : >"$work/calls"
  (cd "$work/build/kafka/libs" && eval "$2")
  as_owner --tests
  expect_code 0
  expect_called "mvn -q -B -C -f"
  [[ $(ls "$work/build/kafka/libs") == $'kafka-clients-0.jar\nkafka_2.13-0.jar' ]] || wrong "not the listed jars"
  [[ $(<"$work/build/kafka/libs/kafka-clients-0.jar") == client ]] || wrong "left the damaged jar"
}
again "a jar is gone" 'rm kafka_2.13-0.jar'
again "a jar is damaged" 'echo torn >kafka-clients-0.jar'
again "a jar of nobody lies there" 'echo other >other.jar'
again "pom.xml was changed" "echo '<!-- -->' >>'$work/tree/cloud/e2e/servers/kafka/pom.xml'"

case_name="jars that are not the listed ones are refused, and those that were there stay"
echo evil >"$work/jars/kafka_2.13-0.jar"
rm "$work/build/kafka/libs/kafka-clients-0.jar"
as_owner --tests
expect_code 1
expect_says "the jars that Maven brought are not those of cloud/e2e/servers/kafka/jars.sha256"
[[ $(<"$work/build/kafka/libs/kafka_2.13-0.jar") == broker ]] || wrong "installed them all the same"

# Debian's mosquitto, where this machine has it, is found outside of PATH.
fresh "--bench brings no more than mosquitto"
stand_in apt-get
stand_in sudo 'exec "$@"'
as_owner --bench
expect_code 0
if [[ -x /usr/sbin/mosquitto ]]; then
  expect_idle
else
  expect_called "install -y --no-install-recommends mosquitto"
fi
[[ ! -e $work/build/kafka ]] || wrong "fetched Kafka"
if grep -Eq 'jre|maven' "$work/calls"; then wrong "called $(<"$work/calls")"; fi

fresh "--training brings venv where python3 lacks it, and no more"
stand_in apt-get
stand_in sudo 'exec "$@"'
stand_in python3 'echo "No module named ensurepip" >&2; exit 1'
as_owner
expect_idle # without the option nobody asks
as_owner --training
expect_code 0
expect_called "install -y --no-install-recommends python3-venv"
: >"$work/calls"
stand_in python3
as_owner --training
expect_says "setup: nothing is missing"
rm "$work/bin/python3"
as_owner --training --dry-run
expect_says "would be installing with apt: python3-venv"

fresh "the Makefile says what is missing for a virtual environment"
mkdir -p "$work/tree/models/training"
cp "${setup%/*}/../Makefile" "$work/tree/"
touch "$work/tree/models/training/requirements."{txt,lock}
stand_in python3 'echo "ensurepip is not available" >&2; exit 1'
tree_setup
output=$(PATH="$work/bin:$PATH" make -C "$work/tree" .venv/ready 2>&1)
code=$?
expect_code 2
expect_called "scripts/setup --training"
expect_called "python3 -m venv .venv"
expect_says "python3 cannot make a virtual environment: run scripts/setup --training"

case_name="the Makefile brings what a virtual environment needs, and only where it lacks"
stand_in python3 '[[ -e ready ]] || exit 1
[[ $* != *"-m venv"* ]] || { mkdir -p .venv/bin; echo "#!/bin/sh" >.venv/bin/pip; chmod +x .venv/bin/pip; }'
tree_setup 'touch ready'
: >"$work/calls"
output=$(PATH="$work/bin:$PATH" make -C "$work/tree" .venv/ready 2>&1)
code=$?
expect_code 0
expect_called "scripts/setup --training"
rm -r "$work/tree/.venv"
: >"$work/calls"
output=$(PATH="$work/bin:$PATH" make -C "$work/tree" .venv/ready 2>&1)
code=$?
expect_code 0
if grep -q 'scripts/setup' "$work/calls"; then wrong "called $(<"$work/calls")"; fi
output=$(PATH="$work/bin:$PATH" make -C "$work/tree" -n bench-peers 2>&1)
expect_says "scripts/setup --bench --training"

fresh "bench-peers says what is missing for a virtual environment"
mkdir -p "$work/tree/scripts/peers"
cp "${setup%/*}/bench-peers" "$work/tree/scripts/"
touch "$work/tree/scripts/peers/requirements.txt"
stand_in python3 'echo "ensurepip is not available" >&2; exit 1'
output=$(PATH="$work/bin:$PATH" bash "$work/tree/scripts/bench-peers" 2>&1)
code=$?
expect_code 1
expect_called "python3 -m venv"
expect_says "bench-peers: python3 cannot make a virtual environment: run scripts/setup --training"

fresh "an OpenCV that is too old is refused"
opencv_version 4 5
as_owner
expect_code 1
expect_lines 1
expect_says "OpenCV 4.6 or newer is needed"

fresh "a prefix without OpenCV is refused"
setup_with SIGHTLINE_ONNXRUNTIME="$work/own.so" SIGHTLINE_OPENCV_PREFIX=/nowhere --
expect_code 1
expect_says "SIGHTLINE_OPENCV_PREFIX is /nowhere"

fresh "an ONNX Runtime that is not there is refused"
setup_with SIGHTLINE_ONNXRUNTIME=/nowhere.so SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
expect_code 1
expect_lines 1
expect_says "SIGHTLINE_ONNXRUNTIME is /nowhere.so, which is no file"

fresh "a Go that is too old is refused"
rm "$work/bin/go"
stand_in go 'case $* in "env GOVERSION") echo go1.19.8;; *) echo go version go1.19.8 linux/amd64;; esac'
as_owner
expect_code 1
expect_lines 1
expect_says "is go1.19.8: install Go 1.26 or newer from https://go.dev/dl"

fresh "an unknown option is refused"
as_owner --everything
expect_code 1
expect_says "there is no option --everything"

if ((EUID == 0)); then
  fresh "sudo's user owns what root made"
  checkout
  mkdir -p "$work/tree"/{bin,demo-out/evidence}
  touch "$work/tree/demo-out/evidence/0.jpg" "$work/outside"
  ln -s "$work/outside" "$work/tree/bin/link"
  setup_with SUDO_UID=65534 SUDO_GID=65534 SIGHTLINE_ONNXRUNTIME="$work/own.so" SIGHTLINE_OPENCV_PREFIX="$work/ocv" --
  for made in build/env.sh tree/bin tree/demo-out/evidence/0.jpg; do
    [[ $(stat -c %u "$work/$made") == 65534 ]] || wrong "$made belongs to $(stat -c %u "$work/$made")"
  done
  [[ $(stat -c %u "$work/outside") == 0 ]] || wrong "gave away what a link in bin names"

  fresh "sudo's user owns what make build made"
  mkdir -p "$work/tree/agent/cmd/sightline-agent"
  cp "${setup%/*}/../Makefile" "$work/tree/"
  touch "$work/tree/agent/cmd/sightline-agent/main.go"
  tree_setup
  rm "$work/bin/go"
  stand_in go 'mkdir -p bin; touch bin/sightline-agent'
  output=$(SUDO_UID=65534 SUDO_GID=65534 PATH="$work/bin:$PATH" make -C "$work/tree" build 2>&1)
  code=$?
  expect_code 0
  [[ $(stat -c %u "$work/tree/bin/sightline-agent") == 65534 ]] || wrong "bin is still root's"
fi

((failures == 0)) || { echo "setup_test: $failures failed"; exit 1; }
echo "setup_test: ok"
