#!/usr/bin/env bash
# All the work that wants a GPU, unattended, the most telling first; for a bare checkout.
#
#   tools/gpu_session.sh OUT [SECONDS=840] [STAGE ...]     stages: tests bench train grid
#
# Each stage has a limit of its own, ends cleanly at it, and leaves what it has in OUT: plain logs,
# weights.tgz, grid.tgz. What a stage needs to go on lies in outputs/gpu_session, so that the same
# command continues. On a machine that reaches no package index put wheels of what it lacks into
# WHEELS (default .whl); torch itself comes from there or from the machine. NEW_WEIGHTS=1 lets the
# grid run on the source models that `train` has made; by default it runs on those that ship.
set -uo pipefail
usage() { sed -n '2,9p' "$0"; exit 2; }
[ $# -ge 1 ] || usage
cd "$(dirname "$0")/.." || exit 2
OUT=$(mkdir -p "$1" && cd "$1" && pwd) || exit 2
TOTAL=${2:-840}
shift $(($# > 1 ? 2 : 1))
STAGES=${*:-tests bench train grid}
WORK=$PWD/outputs/gpu_session
WHEELS=${WHEELS:-.whl}
PY=${PYTHON:-python3}
BEGAN=$(date +%s)
mkdir -p "$WORK/weights"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD:$WORK/site${PYTHONPATH:+:$PYTHONPATH}"

say() { echo "[$(($(date +%s) - BEGAN)) s] $*" | tee -a "$OUT/session.txt"; }
left() { echo $((TOTAL - $(date +%s) + BEGAN)); }

# limited SECONDS LOG COMMAND...: never longer than what is left; SIGINT first, so that work is kept.
limited() {
  local limit=$1 log=$2 rc
  shift 2
  [ "$limit" -le "$(left)" ] || limit=$(left)
  if [ "$limit" -lt 20 ]; then say "no time left for: $*"; return 124; fi
  say "up to $limit s: $*"
  timeout --signal=INT --kill-after=15 "$limit" "$@" >>"$OUT/$log" 2>&1
  rc=$?
  say "exit $rc (124: its limit)"
  return $rc
}

missing() {
  "$PY" - <<'PYTHON'
import importlib.util, re, tomllib
needed = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] + ["pytest"]
names = {"hydra-core": "hydra", "scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}
words = [re.match(r"[\w-]+", text)[0] for text in needed]
print(*(w for w in words if importlib.util.find_spec(names.get(w, w)) is None))
PYTHON
}

lacks=$(missing)
if [ -n "$lacks" ] && compgen -G "$WHEELS/*.whl" >/dev/null; then
  "$PY" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$WORK/site" \
    "$WHEELS"/*.whl >>"$OUT/session.txt" 2>&1
  lacks=$(missing)
fi
if [ -n "$lacks" ]; then
  # shellcheck disable=SC2086
  "$PY" -m pip install -q --target "$WORK/site" $lacks >>"$OUT/session.txt" 2>&1
  lacks=$(missing)
fi
if [ -n "$lacks" ]; then
  say "cannot go on without: $lacks; put their wheels into $WHEELS"
  exit 3
fi
DEVICE=$("$PY" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 3
say "device $DEVICE, $("$PY" -c 'import torch; print("torch", torch.__version__,
  torch.cuda.get_device_name() if torch.cuda.is_available() else "(no GPU)")')"
if [ "$DEVICE" = cpu ] && [ -z "${ANY_DEVICE:-}" ]; then
  say "no GPU: nothing to do here (ANY_DEVICE=1 goes on all the same, to try the script)"
  exit 0
fi

stage_tests() { limited 220 gpu_tests.txt "$PY" -m pytest -q -rs -p no:cacheprovider tests/test_gpu.py; }

stage_bench() {
  local words=(--images 32)
  [ "$DEVICE" = cuda ] || words=(--width 32 --side 32 --steps 3 --images 4 --device cpu)
  limited 300 gpu_adm.txt "$PY" tests/bench/gpu_adm.py "${words[@]}"
}

# Recipes in the order in which they build on each other; each continues from its checkpoint.
stage_train() {
  local name own more rc=0
  for name in diffusion_v2 autoencoder_v2 prior gan_v2; do
    [ -f "$WORK/weights/$name.safetensors" ] && continue
    own=loop. more=()
    [ $name = gan_v2 ] && own=
    if [ $name = prior ]; then # of the new autoencoder's latents
      [ -f "$WORK/weights/autoencoder_v2.safetensors" ] || continue
      more=("autoencoder=$WORK/weights/autoencoder_v2.safetensors")
    fi
    limited 120 "train_$name.txt" "$PY" -m baselines.pretrain $name "${own}device=$DEVICE" \
      "${own}checkpoint_s=20" "out=$WORK/weights/$name.safetensors" "work=$WORK/$name" \
      "${more[@]}" || rc=$?
  done
  tar -czf "$OUT/weights.tgz" -C "$WORK" weights
  return $rc
}

# The reference grid, its main part run by run: finished cells cost nothing, a stopped one continues.
stage_grid() {
  local part rc=0 words=()
  if [ -n "${NEW_WEIGHTS:-}" ]; then
    [ -f "$WORK/weights/diffusion_v2.safetensors" ] &&
      words+=("suite.source.weights=$WORK/weights/diffusion_v2.safetensors")
    [ -f "$WORK/weights/gan_v2.safetensors" ] &&
      words+=("suite.generator.weights=$WORK/weights/gan_v2.safetensors")
  fi
  for part in "grid_main subset="{0..4} grid; do
    # The last seconds are for packing. A part is an experiment and, in the main one, a set of shots.
    # shellcheck disable=SC2086
    limited $(($(left) - 20)) "grid.txt" "$PY" -m fsig_bench -m experiment=$part \
      "results_dir=$WORK/results" device=auto "${words[@]}" ${GRID_WORDS:-} || { rc=$?; break; }
  done
  [ -d "$WORK/results/runs" ] && tar -czf "$OUT/grid.tgz" -C "$WORK/results" runs
  return $rc
}

worst=0
for stage in $STAGES; do
  case $stage in
    tests | bench | train | grid) "stage_$stage" || worst=1 ;;
    *) usage ;;
  esac
done
say "done; results in $OUT"
exit $worst
